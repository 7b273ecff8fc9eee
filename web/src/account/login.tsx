import { useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { login } from "../api/auth";
import { useAuth } from "../api/http";
import type { About } from "../api/types";
import { routeOf } from "../route";
import { Failure, HeaderTitle, TextField } from "../ui";
import { useEnter } from "./enter";
import { useWork } from "./form";
import { PasswordField } from "./password-field";
import { Submit } from "./submit";

export function Login({ about }: { about: About }) {
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const field = useRef<HTMLInputElement>(null);
  const reason = useAuth((auth) => auth.reason);
  const enter = useEnter();
  const { busy, error, wait, submit } = useWork(async () => {
    try {
      await login(name.trim(), password);
      enter();
    } catch (failure) {
      field.current?.select();
      throw failure;
    }
  });
  return (
    <form className="entrance-form" onSubmit={submit}>
      <HeaderTitle name="Log in" />
      {reason === "ended" && !error ? <Ended /> : null}
      <TextField
        label="Name"
        name="username"
        value={name}
        onChange={(event) => setName(event.target.value)}
        autoComplete="username"
        autoCapitalize="none"
        autoCorrect="off"
        spellCheck={false}
        maxLength={200}
        required
        autoFocus
      />
      <PasswordField
        ref={field}
        label="Password"
        name="password"
        value={password}
        onChange={(event) => setPassword(event.target.value)}
        autoComplete="current-password"
        required
      />
      {error ? <Failure error={error} /> : null}
      <Submit busy={busy} wait={wait} label="Log in" />
      {about.registration ? (
        <p className="entrance-else">
          Invited? <Link href="/register">Create an account</Link>
        </p>
      ) : (
        <p className="entrance-else">An administrator makes accounts here.</p>
      )}
    </form>
  );
}

function Ended() {
  const [path] = useLocation();
  const isElsewhere = routeOf(path).page !== "login";
  return <p className="ui-note">Your session has ended. Log in {isElsewhere ? "to go on where you were" : "again"}.</p>;
}
