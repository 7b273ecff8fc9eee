import "./code.css";
import WrapText from "lucide-react/icons/wrap-text";
import { memo, type ReactNode, useEffect, useState } from "react";
import { CopyButton, IconButton } from "../ui";
import { idle } from "./idle";
import { languageOf } from "./languages";
import { revealAll, withoutOverrides } from "./reveal";

/** Characters; more takes too long to be coloured. */
const MAX_COLOURED = 20_000;

type Engine = typeof import("./code-engine");

const engine = (): Promise<Engine | null> => import("./code-engine").catch(() => null);

interface Coloured {
  code: string;
  language: string;
  content: ReactNode;
}

/** The code in colours, some time after it is complete. */
function useColours(code: string, language: string | null, open: boolean): ReactNode {
  const [coloured, setColoured] = useState<Coloured | null>(null);
  useEffect(() => {
    if (open || language === null || code === "" || code.length > MAX_COLOURED) return;
    let cancel = () => {};
    let gone = false;
    engine().then((loaded) => {
      if (gone || !loaded) return;
      cancel = idle.add(() => setColoured({ code, language, content: loaded.highlight(code, language) }));
    });
    return () => {
      gone = true;
      cancel();
    };
  }, [code, language, open]);
  return coloured?.code === code && coloured.language === language ? coloured.content : null;
}

interface CodeBlockProps {
  code: string;
  /** What stands behind the fence: the language, and maybe more. */
  info: string;
  /** More of it is to come. */
  open: boolean;
}

export const CodeBlock = memo(function CodeBlock({ code, info, open }: CodeBlockProps) {
  const [wrap, setWrap] = useState(false);
  const { label, grammar } = languageOf(info);
  const shown = revealAll(code);
  const colours = useColours(shown, grammar, open);
  return (
    <div className="code-block" dir="ltr">
      <div className="code-head">
        <span className="code-language">{label}</span>
        <IconButton
          size="sm"
          label={wrap ? "Do not wrap lines" : "Wrap lines"}
          icon={<WrapText />}
          pressed={wrap}
          onClick={() => setWrap(!wrap)}
        />
        <CopyButton size="sm" label="Copy the code" text={() => withoutOverrides(code)} />
      </div>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and whoever has no pointer needs the focus there */}
      <pre className={wrap ? "is-wrapped" : undefined} tabIndex={0}>
        <code>{colours ?? shown}</code>
      </pre>
    </div>
  );
});

export function InlineCode({ text }: { text: string }) {
  return <code dir="auto">{revealAll(text)}</code>;
}
