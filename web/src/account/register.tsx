import { Link } from "wouter";
import type { About } from "../api/types";
import { HeaderTitle } from "../ui";
import { Redeem } from "./redeem";

export function Register({ about }: { about: About }) {
  return (
    <>
      <HeaderTitle name="Create your account" />
      {about.registration ? (
        <Redeem
          about={about}
          path="gate/auth/register"
          tokenLabel="Registration token"
          tokenHint="An administrator gives you one."
          button="Create account"
        />
      ) : (
        <p className="ui-note is-warning" role="alert">
          Registration is closed. Ask an administrator for an account.
        </p>
      )}
      <p className="entrance-else">
        Have an account? <Link href="/login">Log in</Link>
      </p>
    </>
  );
}
