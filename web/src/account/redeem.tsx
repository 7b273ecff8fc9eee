import { useRef, useState } from "react";
import { login } from "../api/auth";
import type { About, User } from "../api/types";
import { read, send } from "../api/wire";
import { Failure, TextField } from "../ui";
import { useEnter } from "./enter";
import { faultOf, useWork } from "./form";
import { forgetInvitation, useInvitation } from "./invitation";
import { PasswordField } from "./password-field";
import { Submit } from "./submit";

interface RedeemProps {
  about: About;
  path: "gate/auth/register" | "gate/auth/setup";
  tokenLabel: string;
  tokenHint: string;
  button: string;
}

/** What is no word of any language. */
const PLAIN = { autoCapitalize: "none", autoCorrect: "off", spellCheck: false, required: true } as const;

/** Make an account with a token, and log in with the password that was just chosen. */
export function Redeem({ about, path, tokenLabel, tokenHint, button }: RedeemProps) {
  const invited = useInvitation((invitation) => invitation.token);
  const [typed, setTyped] = useState<string | null>(null);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  // Once there is an account only the login is repeated: the token is used up.
  const made = useRef<string | null>(null);
  const enter = useEnter();
  const token = typed ?? invited;
  const { busy, error, wait, submit } = useWork(async () => {
    if (made.current === null) {
      const body = { token: token.trim(), name: name.trim(), password };
      made.current = (await read<User>(await send("POST", path, { body }))).name;
    }
    await login(made.current, password);
    forgetInvitation();
    enter();
  });
  const { password_min_length: least } = about;
  const isNamed = ["name", "password"].includes(error?.param ?? "");
  return (
    <form className="entrance-form" onSubmit={submit}>
      <TextField
        {...PLAIN}
        label={tokenLabel}
        hint={invited && token === invited ? "Taken from your invitation link." : tokenHint}
        value={token}
        onChange={(event) => setTyped(event.target.value)}
        autoComplete="off"
        maxLength={200}
        autoFocus={!invited}
      />
      <TextField
        {...PLAIN}
        label="Name"
        name="username"
        hint="Letters, digits and . _ @ + -"
        error={faultOf(error, "name")}
        value={name}
        onChange={(event) => setName(event.target.value)}
        autoComplete="username"
        maxLength={64}
        autoFocus={Boolean(invited)}
      />
      <PasswordField
        label="Password"
        name="password"
        hint={`At least ${least} characters.`}
        error={faultOf(error, "password")}
        value={password}
        onChange={(event) => setPassword(event.target.value)}
        autoComplete="new-password"
        minLength={least}
        required
      />
      {error && !isNamed ? <Failure error={error} /> : null}
      <Submit busy={busy} wait={wait} label={button} />
    </form>
  );
}
