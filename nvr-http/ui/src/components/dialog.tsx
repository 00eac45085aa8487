import { X } from "lucide-react";
import { type ReactNode, useLayoutEffect, useId, useRef } from "react";
import { useT } from "~/i18n";
import { Button } from "./button";

/** A dialog over the page; Escape and a click beside it close it. */
export function Dialog({ title, children, actions, onClose, wide }: { title: string; children: ReactNode; actions?: ReactNode; onClose(): void; wide?: boolean }) {
  const t = useT();
  const id = useId();
  const element = useRef<HTMLDialogElement>(null);
  useLayoutEffect(() => {
    const dialog = element.current;
    // The element gives focus back, keeps it inside, and makes the rest inert.
    if (dialog && !dialog.open) dialog.showModal();
    // While it is still in the page: a dialog that is closed afterwards gives no focus back.
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      className={wide ? "dialog dialog-wide" : "dialog"}
      aria-labelledby={id}
      onCancel={(e) => {
        e.preventDefault();
        if (e.nativeEvent.cancelable) onClose();
      }}
      onClose={() => {
        // At the second Escape in a row a browser does not let itself be kept from closing it. Whether it goes is for
        // `onClose` all the same, which may ask first.
        if (!element.current || element.current.open) return;
        element.current.showModal();
        onClose();
      }}
      onMouseDown={(e) => {
        if (e.target !== element.current) return;
        // Else the press puts the focus upon what lies below, after the dialog gave it back.
        e.preventDefault();
        onClose();
      }}
    >
      <div className="dialog-box">
        <header className="dialog-head">
          <h2 id={id}>{title}</h2>
          <Button kind="ghost" size="small" icon={<X size={16} />} label={t("common.close")} onClick={onClose} />
        </header>
        <div className="dialog-body">{children}</div>
        {actions && <footer className="dialog-actions">{actions}</footer>}
      </div>
    </dialog>
  );
}
