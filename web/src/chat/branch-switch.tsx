import ChevronLeft from "lucide-react/icons/chevron-left";
import ChevronRight from "lucide-react/icons/chevron-right";
import { announce, IconButton } from "../ui";

interface BranchSwitchProps {
  /** What there are several of: "answer" or "question". */
  what: string;
  siblings: readonly string[];
  position: number;
  onChoose: (message: string) => void;
}

/** Which of several messages in the same place is shown: ‹ 2/3 › */
export function BranchSwitch({ what, siblings, position, onChoose }: BranchSwitchProps) {
  const count = siblings.length;
  if (count < 2) return null;
  const go = (to: number) => {
    const id = siblings[to];
    if (id === undefined) return;
    announce(`Version ${to + 1} of ${count}`);
    onChoose(id);
  };
  const first = position === 0;
  const last = position === count - 1;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms
    <div className="branch" role="group" aria-label={`Versions of this ${what}`}>
      <IconButton
        size="sm"
        label={`Previous version of the ${what}`}
        icon={<ChevronLeft />}
        aria-disabled={first}
        onClick={() => first || go(position - 1)}
      />
      <span className="branch-count tabular">
        <span aria-hidden="true">
          {position + 1}/{count}
        </span>
        <span className="sr-only">
          Version {position + 1} of {count}
        </span>
      </span>
      <IconButton
        size="sm"
        label={`Next version of the ${what}`}
        icon={<ChevronRight />}
        aria-disabled={last}
        onClick={() => last || go(position + 1)}
      />
    </div>
  );
}
