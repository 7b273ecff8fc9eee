import ImagePlus from "lucide-react/icons/image-plus";
import X from "lucide-react/icons/x";
import { useRef } from "react";
import { IconButton, Spinner } from "../ui";
import { sourceOf, TAKEN } from "./pictures";
import type { Attached } from "./use-pictures";

/** The pictures that will be sent, each with a button that takes it away. */
export function Attachments({ attached: { pictures, busy, remove } }: { attached: Attached }) {
  if (pictures.length === 0 && !busy) return null;
  return (
    <ul className="attachments" aria-label="Attached pictures">
      {pictures.map((picture, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: pictures have no other name, and no state here
        <li key={index} className="attachment">
          <img src={sourceOf(picture)} alt={`Attached, number ${index + 1}`} />
          <IconButton
            size="sm"
            variant="secondary"
            className="attachment-remove"
            label={`Remove picture ${index + 1}`}
            icon={<X />}
            onClick={() => remove(picture)}
          />
        </li>
      ))}
      {busy ? (
        <li className="attachment is-coming">
          <Spinner label="Reading the picture" />
        </li>
      ) : null}
    </ul>
  );
}

/** Why no picture can be attached now; null when one can. */
export function reasonAgainst(vision: boolean | null | undefined): string | null {
  if (vision === true) return null;
  return vision === false ? "This model cannot see pictures" : "It is not known whether this model can see pictures";
}

interface AttachButtonProps {
  reason: string | null;
  onFiles: (files: readonly File[]) => void;
}

export function AttachButton({ reason, onFiles }: AttachButtonProps) {
  const field = useRef<HTMLInputElement>(null);
  const label = reason ?? "Attach pictures";
  return (
    <>
      {/* Not disabled for good: then it could not say why. */}
      <IconButton
        label={label}
        icon={<ImagePlus />}
        aria-disabled={reason !== null}
        onClick={() => reason === null && field.current?.click()}
      />
      <input
        ref={field}
        type="file"
        hidden
        multiple
        accept={TAKEN}
        aria-label="Pictures"
        onChange={(event) => {
          onFiles([...(event.target.files ?? [])]);
          // The same file can be chosen again.
          event.target.value = "";
        }}
      />
    </>
  );
}
