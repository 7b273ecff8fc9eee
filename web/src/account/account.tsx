import { type ReactNode, useEffect, useRef } from "react";
import { Link } from "wouter";
import { Settings } from "../options/settings";
import { ACCOUNT_PARTS, type AccountPart } from "../route";
import { ErrorBoundary, HeaderTitle } from "../ui";
import { Keys } from "./keys";
import { Password } from "./password";
import { Sessions } from "./sessions";
import { Usage } from "./usage";
import "./account.css";

const PARTS: Record<AccountPart, { title: string; text: string; show: () => ReactNode }> = {
  settings: { title: "Settings", text: "How this page looks and behaves.", show: () => <Settings /> },
  usage: { title: "Usage", text: "What you have asked for, on this page and with your keys.", show: () => <Usage /> },
  keys: { title: "API keys", text: "For programs that speak for you. They can do what you can.", show: () => <Keys /> },
  sessions: { title: "Sessions", text: "Where you are logged in.", show: () => <Sessions /> },
  password: { title: "Password", text: "Changing it logs you out everywhere else.", show: () => <Password /> },
};

/** The pages about oneself. */
export default function Account({ part }: { part: AccountPart }) {
  const { title, text, show } = PARTS[part];
  const heading = useRef<HTMLHeadingElement>(null);
  const parts = useRef<HTMLElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: each part is another page, whose heading is read out
  useEffect(() => {
    parts.current?.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    heading.current?.focus();
  }, [part]);
  return (
    <div className="account">
      <HeaderTitle name={title}>Your account</HeaderTitle>
      <div className="account-column">
        <nav ref={parts} aria-label="Your account" className="account-parts">
          {ACCOUNT_PARTS.map((name) => (
            <Link key={name} href={`/account/${name}`} aria-current={name === part ? "page" : undefined}>
              {PARTS[name].title}
            </Link>
          ))}
        </nav>
        <div className="account-head">
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          <p>{text}</p>
        </div>
        <ErrorBoundary key={part}>{show()}</ErrorBoundary>
      </div>
    </div>
  );
}
