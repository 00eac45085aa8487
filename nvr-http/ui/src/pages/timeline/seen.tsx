import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { ask } from "~/api/client";
import { type Detection, pictureOf } from "~/api/detections";
import { useEvents } from "~/api/events";
import { useT } from "~/i18n";
import { clock, dateFormat, duration } from "~/lib/format";
import { titleOf } from "~/lib/seen-title";
import { type Cluster, clustered } from "./clusters";
import { type View, span, toX } from "./scale";

/** Most that are asked for at once; with more in view, the newest are shown. */
const MOST = 1000;

/** What was seen by some cameras in a view, with room at both sides. */
function useSeen(cameras: readonly string[], view: View): Detection[] {
  const names = cameras.join(",");
  const [loaded, setLoaded] = useState<{ names: string; view: View; all: Detection[] } | null>(null);
  const [round, setRound] = useState(0);
  const fits = loaded && loaded.names === names && view.from >= loaded.view.from && view.to <= loaded.view.to && span(view) * 8 > span(loaded.view);
  useEffect(() => {
    if ((fits && !round) || !names) return;
    const controller = new AbortController();
    const timer = setTimeout(() => {
      const room = { from: view.from - span(view), to: view.to + span(view) };
      const query = { cameras: names, from: new Date(room.from).toISOString(), to: new Date(room.to).toISOString(), limit: MOST };
      // What is shown stays when the recorder is away.
      ask<{ detections: Detection[] }>("/detections", { query, signal: controller.signal }).then(({ detections }) => {
        setRound(0);
        setLoaded({ names, view: room, all: detections });
      }, () => {});
    }, 200);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [fits, names, view, round]);
  useEvents(["detection_started", "detection_ended"], (event) => {
    if (event.camera && cameras.includes(event.camera)) setRound((n) => n + 1);
  });
  return loaded?.names === names ? loaded.all : [];
}

/** Marks of what was seen: with a picture under the pointer, and reached by keys. */
export function Seen({ cameras, names, view, width, onGo }: { cameras: string[]; names: Map<string, string>; view: View; width: number; onGo(time: number): void }) {
  const t = useT();
  const all = useSeen(cameras, view);
  const clusters = useMemo(() => clustered(all, view, width), [all, view, width]);
  const box = useRef<HTMLDivElement>(null);
  const [shown, setShown] = useState<number | null>(null);
  const [here, setHere] = useState<number | null>(null);
  // Its place is kept, so that nothing jumps when the first is seen.
  if (!clusters.length) return <div className="seen-lane seen-none" aria-hidden />;

  const title = ({ best, count }: Cluster) => {
    const what = titleOf(t, best);
    const camera = cameras.length > 1 ? `, ${names.get(best.camera) ?? best.camera}` : "";
    return `${what}${camera}${count > 1 ? ` + ${t("events.marks", { n: count - 1 })}` : ""}`;
  };
  const reach = Math.max(0, clusters.findIndex((c) => c.best.id === here));
  const onKeyDown = (e: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (by === undefined) return;
    e.preventDefault();
    e.stopPropagation();
    box.current?.querySelectorAll<HTMLElement>(".seen-mark")[Math.max(0, Math.min(clusters.length - 1, reach + by))]?.focus();
  };
  const bubble = clusters.find((c) => c.best.id === shown);
  const WIDE = 184;
  return (
    <div className="seen-lane" ref={box} role="group" aria-label={t("events.lane")} aria-description={t("events.lane_help")} onKeyDown={onKeyDown}>
      <div className="seen-clip">
        {clusters.map((c, n) => (
          <button
            key={c.best.id}
            type="button"
            className="seen-mark"
            data-kind={c.best.kind}
            style={{ left: toX(view, c.start, width), width: Math.max(8, toX(view, c.end, width) - toX(view, c.start, width)) }}
            tabIndex={n === reach ? 0 : -1}
            aria-label={t("events.mark", { what: title(c), time: clock(c.best.from) })}
            onMouseEnter={() => setShown(c.best.id)}
            onMouseLeave={() => setShown(null)}
            onFocus={() => {
              setHere(c.best.id);
              setShown(c.best.id);
            }}
            onBlur={() => setShown(null)}
            onClick={() => onGo(c.start)}
          />
        ))}
      </div>
      {bubble && (
        <div className="bubble" style={{ left: Math.max(4, Math.min(width - WIDE - 4, toX(view, bubble.start, width) - WIDE / 2)), width: WIDE }} aria-hidden>
          <img key={`${bubble.best.id} ${bubble.best.best_at}`} src={pictureOf(bubble.best, 320)} alt="" onError={(e) => e.currentTarget.remove()} />
          <p className="bubble-time">{clock(bubble.best.from)} <span className="muted">{dateFormat({ day: "numeric", month: "short" }).format(new Date(bubble.best.from))}</span></p>
          <p className="bubble-why">{title(bubble)}{bubble.best.to ? ` · ${duration((Date.parse(bubble.best.to) - Date.parse(bubble.best.from)) / 1000)}` : ` · ${t("events.goes_on")}`}</p>
        </div>
      )}
    </div>
  );
}
