import { ChartGantt, ChevronLeft, ChevronRight, Download, X } from "lucide-react";
import { useEffect, useId, useLayoutEffect, useRef } from "react";
import { Link } from "wouter";
import { type Still, stillUrl } from "~/api/stills";
import { Button } from "~/components/button";
import { useT } from "~/i18n";
import { bytes, moment } from "~/lib/format";

/** A finger that went so far sideways, in pixels, turned the page. */
const SWIPE = 40;

/** One still, large; the arrow keys and a finger go on to the others. */
export function Viewer({ camera, name, stills, at, onAt, onClose }: { camera: string; name: string; stills: Still[]; at: number; onAt(at: number): void; onClose(): void }) {
  const t = useT();
  const id = useId();
  const element = useRef<HTMLDialogElement>(null);
  const finger = useRef<{ x: number; y: number } | null>(null);
  const still = stills[at]!;
  // A button that is disabled would take the keys with it, so at an end it only says so.
  const go = (to: number) => to >= 0 && to < stills.length && onAt(to);
  // Before it is taken out of the page: only then the element gives the focus back.
  useLayoutEffect(() => {
    const dialog = element.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  // The next ones are there before they are asked for.
  useEffect(() => {
    for (const near of [stills[at + 1], stills[at - 1]]) if (near) new Image().src = stillUrl(camera, near);
  }, [camera, stills, at]);
  return (
    <dialog
      ref={element}
      className="still-view"
      aria-labelledby={id}
      onCancel={(e) => {
        e.preventDefault();
        onClose();
      }}
      onKeyDown={(e) => {
        const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: stills.length - 1 }[e.key];
        if (to === undefined || e.altKey || e.ctrlKey || e.metaKey) return;
        e.preventDefault();
        go(to);
      }}
    >
      <header className="still-view-head">
        <h2 id={id} className="grow"><span className="ellipsis">{name}</span> <time dateTime={still.at} aria-live="polite">{moment(still.at)}</time></h2>
        <span className="muted">{bytes(still.size_bytes)}</span>
        <Button kind="ghost" icon={<X size={18} />} label={t("common.close")} onClick={onClose} />
      </header>
      <div
        className="still-view-picture"
        onPointerDown={(e) => (finger.current = { x: e.clientX, y: e.clientY })}
        onPointerUp={(e) => {
          const from = finger.current;
          finger.current = null;
          if (!from || Math.abs(e.clientX - from.x) < SWIPE || Math.abs(e.clientY - from.y) > Math.abs(e.clientX - from.x)) return;
          go(e.clientX < from.x ? at + 1 : at - 1);
        }}
        onPointerCancel={() => (finger.current = null)}
      >
        <img src={stillUrl(camera, still)} alt={t("stills.show", { camera: name, time: moment(still.at) })} draggable={false} />
      </div>
      <footer className="still-view-foot">
        <Button icon={<ChevronLeft size={18} />} label={t("stills.before")} aria-disabled={at === 0} onClick={() => go(at - 1)} />
        <span className="muted still-view-count">{at + 1} / {stills.length}</span>
        <Button icon={<ChevronRight size={18} />} label={t("stills.after")} aria-disabled={at === stills.length - 1} onClick={() => go(at + 1)} />
        <span className="grow" />
        <Link className="button button-plain" href={`/timeline?${new URLSearchParams({ camera, at: still.at })}`} aria-label={t("stills.timeline")}><ChartGantt size={15} /><span className="still-view-word">{t("stills.timeline")}</span></Link>
        <a className="button button-plain" href={stillUrl(camera, still)} download={`${camera}-${still.at.replaceAll(":", "-")}.jpg`} aria-label={t("common.download")}><Download size={15} /><span className="still-view-word">{t("common.download")}</span></a>
      </footer>
    </dialog>
  );
}
