import PanelLeftClose from "lucide-react/icons/panel-left-close";
import X from "lucide-react/icons/x";
import { Link } from "wouter";
import { IconButton } from "../ui";

/** The mark of the page; it draws with the theme's own colours. */
export function Mark({ size = 24 }: { size?: number }) {
  return (
    <svg className="mark" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true">
      <rect width="32" height="32" rx="7" />
      <path d="M8 9v14M14 9v14M20 9v14M24 16h-1" />
      <circle cx="25" cy="16" r="2.2" />
    </svg>
  );
}

/** The top of the sidebar. */
export function Brand({ isDrawer, onClose }: { isDrawer: boolean; onClose: () => void }) {
  const label = isDrawer ? "Close the menu" : "Hide the sidebar";
  return (
    <div className="frame-brand">
      <Link href="/" className="frame-home" onClick={() => isDrawer && onClose()}>
        <Mark />
        <span>llmgate</span>
      </Link>
      <IconButton label={label} icon={isDrawer ? <X /> : <PanelLeftClose />} onClick={onClose} />
    </div>
  );
}
