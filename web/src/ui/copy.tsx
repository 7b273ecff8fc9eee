import Check from "lucide-react/icons/check";
import Copy from "lucide-react/icons/copy";
import { useEffect, useRef, useState } from "react";
import { Button, IconButton } from "./button";
import { announce } from "./status";

/** Put a text on the clipboard; false when the browser does not let us. */
export async function copyText(text: string): Promise<boolean> {
  try {
    // Absent on plain http, where many gateways of a house are.
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // Refused: the old way may still work.
  }
  return copyBySelection(text);
}

function copyBySelection(text: string): boolean {
  const focused = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "sr-only";
  field.readOnly = true;
  // Beside a modal dialog nothing can be selected.
  const dialogs = document.querySelectorAll("dialog[open]");
  (dialogs[dialogs.length - 1] ?? document.body).append(field);
  field.focus({ preventScroll: true });
  field.select();
  try {
    return document.execCommand("copy");
  } catch {
    return false;
  } finally {
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
  }
}

export interface CopyButtonProps {
  text: string | (() => string);
  label?: string;
  /** With its label beside the icon. */
  wide?: boolean;
  size?: "md" | "sm";
  className?: string | undefined;
}

/** Copies, and shows for two seconds that it has. */
export function CopyButton({ text, label = "Copy", wide = false, size = "md", className }: CopyButtonProps) {
  const [result, setResult] = useState<"copied" | "refused" | null>(null);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = async () => {
    const ok = await copyText(typeof text === "function" ? text() : text);
    setResult(ok ? "copied" : "refused");
    announce(ok ? "Copied" : "The browser does not allow copying. Select the text and copy it yourself.");
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setResult(null), 2_000);
  };
  const icon = result === "copied" ? <Check /> : <Copy />;
  const said = result === "copied" ? "Copied" : result === "refused" ? "Copying is not allowed" : label;
  if (!wide) return <IconButton label={said} icon={icon} size={size} className={className} onClick={copy} />;
  return (
    <Button icon={icon} size={size} className={className} onClick={copy}>
      {said}
    </Button>
  );
}
