import Check from "lucide-react/icons/check";
import { type ComponentProps, type ReactNode, type Ref, useId, useLayoutEffect, useRef, useState } from "react";
import { classes } from "./classes";
import { type Align, place, type Side, useMenuKeys, useOutside } from "./menu-behaviour";

export interface MenuItem {
  label: string;
  icon?: ReactNode;
  /** A second, quieter text at its end: a shortcut. */
  detail?: ReactNode;
  onSelect: () => void;
  danger?: boolean;
  disabled?: boolean;
  /** For one of several choices: whether it is the one. */
  checked?: boolean;
}

export type MenuEntry = MenuItem | { separator: true } | { group: string; items: MenuItem[] };

/** What the button that opens the menu is given. */
export interface MenuTrigger {
  ref: Ref<HTMLButtonElement>;
  onClick: NonNullable<ComponentProps<"button">["onClick"]>;
  onKeyDown: NonNullable<ComponentProps<"button">["onKeyDown"]>;
  "aria-haspopup": "menu";
  "aria-expanded": boolean;
  "aria-controls": string | undefined;
}

export interface MenuProps {
  /** The name of the menu. */
  label: string;
  trigger: (props: MenuTrigger) => ReactNode;
  items: readonly MenuEntry[];
  side?: Side;
  align?: Align;
  className?: string | undefined;
}

/** A button that opens a menu: arrows, Home, End and letters move in it, Esc and Tab close it.
 *
 * `<Menu label="Chat" trigger={(props) => <IconButton {...props} label="More" icon={<Ellipsis />} />} items={[…]} />` */
export function Menu({ label, trigger, items, side = "bottom", align = "end", className }: MenuProps) {
  const id = useId();
  const [start, setStart] = useState<"first" | "last" | null>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = (refocus: boolean) => {
    setStart(null);
    if (refocus) button.current?.focus();
  };
  const open = start !== null;
  return (
    <>
      {trigger({
        ref: button,
        onClick: () => (open ? close(true) : setStart("first")),
        onKeyDown: (event) => {
          if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
          event.preventDefault();
          setStart(event.key === "ArrowDown" ? "first" : "last");
        },
        "aria-haspopup": "menu",
        "aria-expanded": open,
        "aria-controls": open ? id : undefined,
      })}
      {open ? <OpenMenu {...{ id, label, items, side, align, className, start, button, close }} /> : null}
    </>
  );
}

interface OpenMenuProps extends Required<Pick<MenuProps, "label" | "items" | "side" | "align">> {
  id: string;
  className: string | undefined;
  start: "first" | "last";
  button: { readonly current: HTMLButtonElement | null };
  close: (refocus: boolean) => void;
}

function OpenMenu({ id, label, items, side, align, className, start, button, close }: OpenMenuProps) {
  const ref = useRef<HTMLDivElement>(null);
  const onKeyDown = useMenuKeys(ref, close);
  useOutside(ref, button, close);
  useLayoutEffect(() => {
    const menu = ref.current;
    if (!menu || !button.current) return;
    menu.showPopover();
    place(menu, button.current, side, align);
    const all = menu.querySelectorAll<HTMLElement>("[data-item]");
    // What is chosen now, in a menu that is for choosing one thing.
    const checked = all[0]?.hasAttribute("aria-checked")
      ? menu.querySelector<HTMLElement>("[aria-checked=true]")
      : null;
    (start === "last" ? all[all.length - 1] : (checked ?? all[0]))?.focus();
  }, [button, side, align, start]);
  const choose = (item: MenuItem) => {
    // The focus first: a dialog that the item opens gives it back to where it was.
    close(true);
    item.onSelect();
  };
  return (
    <div
      ref={ref}
      id={id}
      className={classes("ui-menu", className)}
      role="menu"
      tabIndex={-1}
      aria-label={label}
      popover="manual"
      onKeyDown={onKeyDown}
    >
      {items.map((entry, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: entries have no other name, and the menu lives shortly
        <Entry key={index} entry={entry} choose={choose} />
      ))}
    </div>
  );
}

function Entry({ entry, choose }: { entry: MenuEntry; choose: (item: MenuItem) => void }) {
  if ("separator" in entry) return <hr className="ui-menu-line" />;
  if (!("group" in entry)) return <Item item={entry} choose={choose} />;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms; this is a group of a menu
    <div role="group" aria-label={entry.group}>
      <div className="ui-menu-group" aria-hidden="true">
        {entry.group}
      </div>
      {entry.items.map((item) => (
        <Item key={item.label} item={item} choose={choose} />
      ))}
    </div>
  );
}

function Item({ item, choose }: { item: MenuItem; choose: (item: MenuItem) => void }) {
  const { label, icon, detail, danger, disabled, checked } = item;
  const role = checked === undefined ? "menuitem" : "menuitemradio";
  return (
    // biome-ignore lint/a11y/useAriaPropsSupportedByRole: aria-checked is there with menuitemradio only
    <button
      type="button"
      role={role}
      tabIndex={-1}
      data-item={label}
      aria-checked={checked}
      aria-disabled={disabled}
      className={classes("ui-menu-item", danger && "is-danger")}
      onClick={() => disabled || choose(item)}
      onPointerMove={(event) => event.currentTarget.focus({ preventScroll: true })}
    >
      <span className="ui-menu-icon" aria-hidden="true">
        {icon}
      </span>
      <span className="ui-menu-label">{label}</span>
      {detail ? <span className="ui-menu-detail">{detail}</span> : null}
      {checked ? <Check className="ui-menu-check" aria-hidden="true" /> : null}
    </button>
  );
}
