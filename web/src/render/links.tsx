import type { Element } from "hast";
import { type ComponentProps, createContext, type ReactNode, useContext } from "react";
import { revealAll } from "./reveal";
import { textOf } from "./tree";
import { hostOf, misleads } from "./urls";

const InLink = createContext(false);

type LinkProps = ComponentProps<"a"> & { node?: Element | undefined };

/** A link of an answer. It opens beside the chat, tells the other side nothing, and says where it really leads. */
export function AnswerLink({ node, href, children, id }: LinkProps) {
  if (node?.properties.dataFootnoteRef !== undefined) return <FootnoteLink {...{ href, id, children }} />;
  if (node?.properties.dataFootnoteBackref !== undefined) {
    const label = String(node.properties.ariaLabel ?? "Back to the text");
    return <FootnoteLink {...{ href, label, children }} />;
  }
  const inside = <InLink value={true}>{children}</InLink>;
  if (!href) return <span>{inside}</span>;
  return (
    <OuterLink href={href} host={misleads(textOf(node), href)}>
      {inside}
    </OuterLink>
  );
}

function OuterLink({ href, host, children }: { href: string; host: boolean; children: ReactNode }) {
  return (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow" title={revealAll(href)}>
      <bdi>{children}</bdi>
      {host ? <bdi className="link-host"> ({revealAll(hostOf(href))})</bdi> : null}
    </a>
  );
}

interface FootnoteProps {
  href: string | undefined;
  id?: string | undefined;
  label?: string | undefined;
  children: ReactNode;
}

/** Goes to a footnote or back. Not a link: the part of the address behind "#" says which page is shown. */
function FootnoteLink({ href, id, label, children }: FootnoteProps) {
  const go = () => {
    const target = document.getElementById(decoded(href?.slice(1) ?? ""));
    if (!target) return;
    target.tabIndex = -1;
    target.scrollIntoView({ block: "center" });
    target.focus({ preventScroll: true });
  };
  return (
    <button
      type="button"
      className="footnote-link"
      id={id}
      aria-label={label ?? `Footnote ${String(children)}`}
      onClick={go}
    >
      {children}
    </button>
  );
}

function decoded(id: string): string {
  try {
    return document.getElementById(id) ? id : decodeURIComponent(id);
  } catch {
    return id;
  }
}

type PictureProps = ComponentProps<"img"> & { node?: Element | undefined };

/** A picture of an answer is never loaded: its address could carry what was said here to somebody else. */
export function AnswerPicture({ src, alt }: PictureProps) {
  const inLink = useContext(InLink);
  const what = revealAll(alt ?? "").slice(0, 200);
  if (typeof src !== "string" || src === "") return <span>{what}</span>;
  const text = `Picture: ${what ? `${what} (${hostOf(src)})` : hostOf(src)}`;
  return inLink ? (
    <span>{text}</span>
  ) : (
    <OuterLink href={src} host={false}>
      {text}
    </OuterLink>
  );
}
