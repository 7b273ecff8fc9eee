import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { changePassword } from "../api/auth";
import { keys, useAbout, useMe } from "../api/queries";
import { Failure, toast } from "../ui";
import { faultOf, useWork } from "./form";
import { PasswordField } from "./password-field";
import { Submit } from "./submit";

export function Password() {
  const client = useQueryClient();
  const me = useMe();
  const least = useAbout().data?.password_min_length ?? 0;
  const [current, setCurrent] = useState("");
  const [password, setPassword] = useState("");
  const first = useRef<HTMLInputElement>(null);
  const { busy, error, wait, submit } = useWork(async () => {
    await changePassword(current, password);
    void client.invalidateQueries({ queryKey: keys.sessions });
    setCurrent("");
    setPassword("");
    first.current?.focus();
    toast("Your password is changed. You are logged out everywhere else.", "success");
  });
  const isNamed = ["current_password", "password"].includes(error?.param ?? "");
  return (
    <form className="account-form" onSubmit={submit}>
      {/* Password managers read here whose password it is. */}
      <input type="text" name="username" autoComplete="username" value={me?.name ?? ""} readOnly hidden />
      <PasswordField
        ref={first}
        label="Current password"
        name="current-password"
        error={faultOf(error, "current_password")}
        value={current}
        onChange={(event) => setCurrent(event.target.value)}
        autoComplete="current-password"
        required
      />
      <PasswordField
        label="New password"
        name="new-password"
        hint={least > 0 ? `At least ${least} characters.` : null}
        error={faultOf(error, "password")}
        value={password}
        onChange={(event) => setPassword(event.target.value)}
        autoComplete="new-password"
        minLength={least || undefined}
        required
      />
      {error && !isNamed ? <Failure error={error} /> : null}
      <div>
        <Submit busy={busy} wait={wait} label="Change password" />
      </div>
    </form>
  );
}
