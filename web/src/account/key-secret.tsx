import TriangleAlert from "lucide-react/icons/triangle-alert";
import { useModels } from "../api/queries";
import type { NewApiKey } from "../api/types";
import { Button, CopyButton, Dialog } from "../ui";

/** A call that works as it stands. Pasted into a shell, so nothing in it may end a quotation. */
export function curlOf(base: string, key: string, model: string): string {
  const body = JSON.stringify({ model, messages: [{ role: "user", content: "Hello" }] });
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  return [
    `curl ${quoted(new URL("v1/chat/completions", base).href)}`,
    `  -H ${quoted(`Authorization: Bearer ${key}`)}`,
    `  -H 'Content-Type: application/json'`,
    `  -d ${quoted(body)}`,
  ].join(" \\\n");
}

/** Shows the secret of a new key, this once. */
export function KeySecret({ made, onClose }: { made: NewApiKey | null; onClose: () => void }) {
  const { data: models } = useModels();
  if (!made) return null;
  const model = made.models?.[0] ?? models?.find((one) => one.loaded)?.name ?? models?.[0]?.name ?? "model";
  const base = document.baseURI.split("#")[0] ?? "";
  const curl = curlOf(base, made.key, model);
  const footer = (
    <Button variant="primary" onClick={onClose}>
      I have stored it
    </Button>
  );
  return (
    <Dialog open onClose={onClose} title={`The key ${made.name}`} footer={footer} dismissable={false}>
      <div className="ui-note is-warning">
        <TriangleAlert aria-hidden="true" />
        <p>Store it now: it is shown this once. Treat it like a password.</p>
      </div>
      <div className="secret">
        <code data-autofocus tabIndex={-1}>
          {made.key}
        </code>
        <CopyButton text={made.key} label="Copy the key" />
      </div>
      <div className="account-try">
        <p className="ui-label">Try it</p>
        <div className="secret">
          <pre>{curl}</pre>
          <CopyButton text={curl} label="Copy the command" />
        </div>
        <p className="ui-hint">
          For programs that speak to OpenAI, the address is <code>{new URL("v1", base).href}</code>; for those that
          speak to Ollama it is <code>{new URL(".", base).href}</code>
        </p>
      </div>
    </Dialog>
  );
}
