import Check from "lucide-react/icons/check";
import { type KeyboardEvent, type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import type { useModels } from "../api/queries";
import type { Model } from "../api/types";
import { classes, Empty, Failure, Skeleton } from "../ui";
import { nextIndex, place, type Side, useOutside } from "../ui/menu-behaviour";
import { abilities, details, filtered, inOrder, isSame, modelOf, stateOf } from "./models";

interface ModelListProps {
  id: string;
  result: ReturnType<typeof useModels>;
  value: string | null;
  side: Side;
  button: RefObject<HTMLButtonElement | null>;
  choose: (name: string, byKey: boolean) => void;
  close: (refocus: boolean) => void;
}

/** The list of models above the page, with a field that filters it. The focus stays in the field. */
export function ModelList({ id, result, value, side, button, choose, close }: ModelListProps) {
  const [typed, setTyped] = useState("");
  const [active, setActive] = useState<string | null>(value);
  const popover = useRef<HTMLDivElement>(null);
  const all = result.data ?? [];
  const rows = filtered(inOrder(all), typed);
  const at = Math.max(0, rows.indexOf(modelOf(rows, active) as Model));
  const current = rows[at] ?? null;
  useOutside(popover, button, close);
  usePlace(popover, button, side, rows.length);
  const pressed = (event: KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "Escape" || event.key === "Tab") {
      if (event.key === "Escape") event.preventDefault();
      event.stopPropagation();
      return close(true);
    }
    if (event.key === "Enter") {
      event.preventDefault();
      if (current) choose(current.name, true);
      return;
    }
    // Home and End are the field's own.
    const next = /^Arrow(Up|Down)$/.test(event.key) ? nextIndex(event.key, at, rows.length) : null;
    if (next === null || event.altKey) return;
    event.preventDefault();
    setActive(rows[next]?.name ?? null);
  };
  const optionId = (index: number) => `${id}-${index}`;
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys are those of the field in it
    <div ref={popover} className="model-popover" popover="manual" onKeyDown={pressed}>
      <input
        className="ui-input model-filter"
        role="combobox"
        aria-label="Filter models"
        aria-expanded="true"
        aria-controls={id}
        aria-autocomplete="list"
        aria-activedescendant={current ? optionId(at) : undefined}
        placeholder="Filter models"
        autoComplete="off"
        spellCheck={false}
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value);
          setActive(null);
        }}
      />
      <State result={result} typed={typed} count={rows.length} />
      <div id={id} className="model-rows" role="listbox" aria-label="Models" tabIndex={-1}>
        {rows.map((model, index) => (
          <Row
            key={model.name}
            id={optionId(index)}
            model={model}
            isActive={index === at}
            isChosen={value !== null && isSame(model.name, value)}
            onReach={() => setActive(model.name)}
            onChoose={() => choose(model.name, false)}
          />
        ))}
      </div>
    </div>
  );
}

/** Shows it beside its button, and again when it has another height. */
function usePlace(
  popover: RefObject<HTMLDivElement | null>,
  button: RefObject<HTMLButtonElement | null>,
  side: Side,
  rows: number,
): void {
  useLayoutEffect(() => {
    popover.current?.showPopover();
    // On a phone the keyboard would cover the list.
    const isTouch = window.matchMedia("(pointer: coarse)").matches;
    popover.current?.querySelector<HTMLElement>(isTouch ? "[role=listbox]" : "input")?.focus();
  }, [popover]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the number of rows makes the height
  useLayoutEffect(() => {
    if (popover.current && button.current) place(popover.current, button.current, side, "end");
  }, [popover, button, side, rows]);
}

function State({ result, typed, count }: { result: ModelListProps["result"]; typed: string; count: number }) {
  if (result.isPending) return <Skeleton lines={3} label="Loading models" />;
  if (result.isError && !result.data) return <Failure error={result.error} onRetry={() => void result.refetch()} />;
  if (result.data?.length === 0) {
    return (
      <Empty title="There is no model">
        None is installed, or you may use none of them. Ask whoever runs this gateway.
      </Empty>
    );
  }
  if (count > 0) return null;
  return <p className="model-nothing">No model has “{typed.trim()}” in its name.</p>;
}

interface RowProps {
  id: string;
  model: Model;
  isActive: boolean;
  isChosen: boolean;
  onReach: () => void;
  onChoose: () => void;
}

function Row({ id, model, isActive, isChosen, onReach, onChoose }: RowProps) {
  const ref = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (isActive) ref.current?.scrollIntoView({ block: "nearest" });
  }, [isActive]);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents lint/a11y/useFocusableInteractive: the keys are those of the field, which keeps the focus
    <div
      ref={ref}
      id={id}
      role="option"
      aria-selected={isChosen}
      className={classes("model-row", isActive && "is-active")}
      title={model.name}
      onClick={onChoose}
      onPointerMove={isActive ? undefined : onReach}
    >
      <span className={classes("model-dot", model.loaded && "is-loaded")} aria-hidden="true" />
      <span className="model-text">
        <span className="model-head">
          <span className="model-name">{model.name}</span>
          {abilities(model).map((ability) => (
            <span key={ability} className="model-badge">
              {ability}
            </span>
          ))}
        </span>
        <span className="model-details">{[stateOf(model), ...details(model)].join(" · ")}</span>
      </span>
      {isChosen ? <Check aria-hidden="true" /> : null}
    </div>
  );
}
