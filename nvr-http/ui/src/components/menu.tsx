import { type KeyboardEvent, type ReactNode, useEffect, useId, useLayoutEffect, useRef, useState } from "react";
import { Button, type ButtonProps } from "./button";

export interface MenuItem {
  label: string;
  icon?: ReactNode;
  danger?: boolean;
  disabled?: boolean;
  /** Of an item that is one of a choice, or on and off. */
  checked?: boolean;
  onSelect(): void;
}

/** Between a button and its list, and at least to the edges of the window. */
const GAP = 4;

/** A button with a list of things to do; arrows, Home, End and Escape work. `"-"` is a line between. */
export function Menu({ items, button, align = "end" }: { items: (MenuItem | "-")[]; button: ButtonProps; align?: "start" | "end" }) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const all = () => [...(root.current?.querySelectorAll<HTMLElement>("[role^=menuitem]:not([disabled])") ?? [])];

  // Over everything, where the browser can: a menu of a small picture is not cut off at its edges.
  useLayoutEffect(() => {
    const list = root.current?.querySelector<HTMLElement>(":scope > .menu-list");
    if (!open || !list?.showPopover) return;
    list.showPopover();
    const button = root.current?.getBoundingClientRect();
    if (!button) return;
    const [width, height] = [list.offsetWidth, list.offsetHeight];
    const [left, below, above] = [align === "end" ? button.right - width : button.left, button.bottom + GAP, button.top - GAP - height];
    list.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
    list.style.top = `${below + height <= innerHeight - GAP || above < GAP ? Math.max(GAP, Math.min(below, innerHeight - height - GAP)) : above}px`;
  }, [open, align]);

  useEffect(() => {
    if (!open) return;
    all()[0]?.focus();
    const outside = (e: PointerEvent) => {
      if (!root.current?.contains(e.target as Node)) setOpen(false);
    };
    // What it hangs at moves away.
    const moved = (e: Event) => {
      if (e.type === "resize" || !root.current?.contains(e.target as Node)) setOpen(false);
    };
    document.addEventListener("pointerdown", outside);
    addEventListener("resize", moved);
    addEventListener("wheel", moved, { passive: true });
    return () => {
      document.removeEventListener("pointerdown", outside);
      removeEventListener("resize", moved);
      removeEventListener("wheel", moved);
    };
  }, [open]);

  const close = () => {
    setOpen(false);
    root.current?.querySelector<HTMLElement>(":scope > button")?.focus();
  };
  const onKeyDown = (e: KeyboardEvent) => {
    if (!open) return;
    const list = all();
    const now = list.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: (now + 1) % list.length, ArrowUp: (now - 1 + list.length) % list.length, Home: 0, End: list.length - 1 }[e.key];
    if (e.key === "Escape") close();
    else if (e.key === "Tab") return setOpen(false);
    else if (to !== undefined) list[to]?.focus();
    else return;
    e.preventDefault();
    e.stopPropagation();
  };

  return (
    <div className="menu" ref={root} onKeyDown={onKeyDown}>
      <Button {...button} aria-haspopup="menu" aria-expanded={open} aria-controls={open ? id : undefined} onClick={() => setOpen(!open)} />
      {open && (
        <div className={`menu-list menu-${align}`} id={id} role="menu" popover="manual">
          {items.map((item, n) =>
            item === "-" ? (
              <hr key={n} className="menu-line" />
            ) : (
              <button
                key={n}
                type="button"
                role={item.checked === undefined ? "menuitem" : "menuitemcheckbox"}
                aria-checked={item.checked}
                tabIndex={-1}
                disabled={item.disabled}
                className={item.danger ? "menu-item menu-danger" : "menu-item"}
                onClick={() => {
                  close();
                  item.onSelect();
                }}
              >
                <span className="menu-icon">{item.checked ? "✓" : item.icon}</span>
                {item.label}
              </button>
            ),
          )}
        </div>
      )}
    </div>
  );
}
