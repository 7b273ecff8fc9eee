import Menu from "lucide-react/icons/menu";
import PanelLeftOpen from "lucide-react/icons/panel-left-open";
import SquarePen from "lucide-react/icons/square-pen";
import { run } from "../options/shortcuts";
import { IconButton } from "../ui";
import { useHeaderSlots } from "../ui/header";

interface HeaderProps {
  /** Whether the sidebar stands beside it, with its own buttons. */
  hasSidebar: boolean;
  isNarrow: boolean;
  onOpen: () => void;
}

const titleSlot = (title: HTMLElement | null) => useHeaderSlots.setState({ title });
const actionsSlot = (actions: HTMLElement | null) => useHeaderSlots.setState({ actions });

/** The bar above the content. `HeaderTitle` and `HeaderActions` fill it. */
export function Header({ hasSidebar, isNarrow, onOpen }: HeaderProps) {
  return (
    <header className="frame-header">
      {hasSidebar ? null : (
        <>
          <IconButton
            label={isNarrow ? "Open the menu" : "Show the sidebar"}
            icon={isNarrow ? <Menu /> : <PanelLeftOpen />}
            aria-expanded={false}
            onClick={onOpen}
          />
          <IconButton label="New chat" icon={<SquarePen />} onClick={() => run("new-chat")} />
        </>
      )}
      <div ref={titleSlot} className="frame-title" />
      <div ref={actionsSlot} className="frame-actions" />
    </header>
  );
}
