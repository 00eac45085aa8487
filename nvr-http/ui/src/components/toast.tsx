import { X } from "lucide-react";
import { useEffect, useRef } from "react";
import { ApiError } from "~/api/client";
import { t, useT } from "~/i18n";
import { store, useStore } from "~/lib/store";
import { Button } from "./button";

interface Toast {
  id: number;
  text: string;
  detail?: string | undefined;
  tone: "good" | "bad" | "none";
  action?: { label: string; run(): void } | undefined;
  end(): void;
}

const toasts = store<Toast[]>([]);
let last = 0;

function show(toast: Omit<Toast, "id" | "end">, milliseconds: number, onEnd?: () => void): () => void {
  const id = ++last;
  let over = false;
  const end = () => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    toasts.set((all) => all.filter((x) => x.id !== id));
    onEnd?.();
  };
  const timer = setTimeout(end, milliseconds);
  toasts.set((all) => [...all.slice(-3), { ...toast, id, end }]);
  return end;
}

/** Says that something was done. */
export const toast = (text: string, tone: Toast["tone"] = "good"): void => void show({ text, tone }, 5000);

/** Says why something was not done. */
export function toastError(error: unknown): void {
  const known = error instanceof ApiError;
  const text = known ? (error.kind === "offline" ? t("common.offline_title") : error.message) : String(error);
  show({ text, detail: known ? error.hint : undefined, tone: "bad" }, 9000);
}

/**
 * Says that something was done which can be undone for a while. With `commit` it is only done when that while is
 * over (or the page left), so that undoing costs nothing.
 */
export function toastUndo(text: string, { undo, commit, seconds = 7 }: { undo(): void; commit?(): void; seconds?: number }): void {
  let undone = false;
  const leave = () => end();
  const end = show(
    {
      text,
      tone: "none",
      action: {
        label: t("common.undo"),
        run() {
          undone = true;
          end();
          undo();
        },
      },
    },
    seconds * 1000,
    () => {
      removeEventListener("pagehide", leave);
      if (!undone) commit?.();
    },
  );
  addEventListener("pagehide", leave);
}

export function Toasts() {
  const t = useT();
  const all = useStore(toasts);
  const box = useRef<HTMLDivElement>(null);
  const newest = all.at(-1)?.id;
  useEffect(() => {
    // Above what fills the display, and above dialogs: what comes last to the top layer lies uppermost.
    const raise = () => {
      const element = box.current;
      if (!element || typeof element.showPopover !== "function") return;
      if (element.matches(":popover-open")) element.hidePopover();
      element.showPopover();
    };
    raise();
    document.addEventListener("fullscreenchange", raise);
    return () => document.removeEventListener("fullscreenchange", raise);
  }, [newest]);
  return (
    <div ref={box} popover="manual" className="toasts" role="region" aria-label={t("common.notices")} aria-live="polite">
      {all.map((one) => (
        <div key={one.id} className={`toast toast-${one.tone}`} role={one.tone === "bad" ? "alert" : undefined}>
          <div className="toast-text">
            <p>{one.text}</p>
            {one.detail && <p className="muted">{one.detail}</p>}
          </div>
          {one.action && <Button size="small" onClick={one.action.run}>{one.action.label}</Button>}
          <Button kind="ghost" size="small" icon={<X size={14} />} label={t("common.close")} onClick={one.end} />
        </div>
      ))}
    </div>
  );
}
