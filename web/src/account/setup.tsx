import { Link } from "wouter";
import type { About } from "../api/types";
import { HeaderTitle } from "../ui";
import { Redeem } from "./redeem";

export function Setup({ about }: { about: About }) {
  if (!about.setup_needed) {
    return (
      <>
        <HeaderTitle name="Set up" />
        <p className="ui-note is-success">This gateway is set up already.</p>
        <p className="entrance-else">
          <Link href="/login">Log in</Link>
        </p>
      </>
    );
  }
  return (
    <>
      <HeaderTitle name="Set up" />
      <p className="entrance-text">
        There is no administrator yet. Make the first one: the terminal in which the gateway runs shows the token for
        it.
      </p>
      <Redeem
        about={about}
        path="gate/auth/setup"
        tokenLabel="Setup token"
        tokenHint="From the gateway's terminal, or its log."
        button="Create administrator"
      />
    </>
  );
}
