import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { useT } from "~/i18n";
import { arrows, tooShort } from "./lines";
import { type Kind, type Point, type Shape, about, at, moveAll, moveCorner, split, withoutCorner } from "./model";

/** How far an arrow key moves; with Shift less. */
const STEP = 0.01;
const FINE = 0.002;
const ARROWS: Record<string, readonly [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

interface Props {
  shapes: readonly Shape[];
  shape: Shape | null;
  /** Width of the picture by its height. */
  ratio: number;
  /** What is being drawn by two points. */
  draw: Kind | null;
  label(s: Shape): string;
  onDrawn(points: readonly Point[]): void;
  onChoose(id: number | null): void;
  onPut(s: Shape, same?: boolean): void;
  onDrop(s: Shape): void;
  onSay(words: string): void;
}

/** The areas and lines themselves, and the handles of the one that is chosen. */
export function Canvas({ shapes, shape, ratio, draw, label, onDrawn, onChoose, onPut, onDrop, onSay }: Props) {
  const t = useT();
  const box = useRef<HTMLDivElement>(null);
  const drag = useRef<{ from: readonly [number, number]; start: Shape; corner: number | null; moved: boolean } | null>(null);
  /** Where the line that is being drawn begins, and where the pointer is. */
  const [first, setFirst] = useState<Point | null>(null);
  const [end, setEnd] = useState<Point | null>(null);
  useEffect(() => { setFirst(null); setEnd(null); }, [draw]);
  /** The corner that is to have the focus once it is there. */
  const [wanted, setWanted] = useState<number | null>(null);
  useEffect(() => {
    if (wanted === null) return;
    box.current?.querySelector<HTMLElement>(`[data-corner="${wanted}"]`)?.focus();
    setWanted(null);
  }, [wanted]);

  const place = (e: PointerEvent): readonly [number, number] => {
    const r = box.current?.getBoundingClientRect();
    return r ? [(e.clientX - r.left) / r.width, (e.clientY - r.top) / r.height] : [0, 0];
  };
  const grab = (e: PointerEvent, start: Shape, corner: number | null, moved = false) => {
    if (e.button !== 0) return;
    e.stopPropagation();
    box.current?.setPointerCapture(e.pointerId);
    drag.current = { from: place(e), start, corner, moved };
  };
  /** A point of what is being drawn: the second press is the end, or where a finger that was drawn along is lifted. */
  const mark = (e: PointerEvent) => {
    if (e.button !== 0) return;
    const here = at(...place(e));
    if (!first) {
      setFirst(here);
      setEnd(here);
      onSay(t("zones.draw_second"));
    } else if (!tooShort([first, here])) onDrawn([first, here]);
  };
  const onUp = (e: PointerEvent) => {
    drag.current = null;
    if (draw && first && !tooShort([first, at(...place(e))])) onDrawn([first, at(...place(e))]);
  };
  const onMove = (e: PointerEvent) => {
    if (draw) {
      if (first) setEnd(at(...place(e)));
      return;
    }
    const d = drag.current;
    if (!d) return;
    const [x, y] = place(e);
    const [dx, dy] = [x - d.from[0], y - d.from[1]];
    // A finger that only touches moves nothing.
    if (!d.moved && Math.hypot(dx, dy) < 0.005) return;
    const corner = d.corner === null ? undefined : d.start.points[d.corner];
    const points = corner && d.corner !== null ? moveCorner(d.start.points, d.corner, corner[0] + dx, corner[1] + dy) : moveAll(d.start.points, dx, dy);
    onPut({ ...d.start, points }, d.moved);
    d.moved = true;
  };
  const onKey = (e: KeyboardEvent, one: Shape, corner: number | null) => {
    const arrow = ARROWS[e.key];
    const far = e.shiftKey ? FINE : STEP;
    const now = corner === null ? undefined : one.points[corner];
    if (arrow) {
      e.preventDefault();
      const [dx, dy] = [arrow[0] * far, arrow[1] * far];
      onPut({ ...one, points: now && corner !== null ? moveCorner(one.points, corner, now[0] + dx, now[1] + dy) : moveAll(one.points, dx, dy) });
    } else if (e.key === "Delete" || e.key === "Backspace") {
      e.preventDefault();
      if (corner === null) onDrop(one);
      else if (one.points.length > about(one.kind).least) {
        onPut({ ...one, points: withoutCorner(one, corner) });
        setWanted(Math.max(0, corner - 1));
        onSay(t("zones.corner_deleted"));
      } else onSay(t(about(one.kind).open ? "zones.least_line" : "zones.least"));
    } else if (corner !== null && (e.key === "Enter" || e.key === "+" || e.key === "Insert")) {
      e.preventDefault();
      if (one.points.length >= about(one.kind).most) return;
      onPut({ ...one, points: split(one, corner) });
      setWanted(corner + 1);
      onSay(t("zones.corner_added"));
    }
  };
  const percent = (n: number) => `${n * 100}%`;
  const where = (p: readonly [number, number]) => ({ left: percent(p[0]), top: percent(p[1]) });
  const stroke = (points: readonly Point[]) => points.map((p) => p.join(",")).join(" ");
  return (
    <div ref={box} className="zones-canvas" data-draw={!!draw || undefined} onPointerMove={onMove} onPointerUp={onUp} onPointerCancel={() => { drag.current = null; }} onPointerDown={(e) => (draw ? mark(e) : onChoose(null))}>
      <svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden>
        {shapes.map((s) => about(s.kind).open ? (
          <g key={s.id} className={`zones-line zones-${s.kind}`} data-chosen={s.id === shape?.id || undefined} onPointerDown={(e) => { onChoose(s.id); grab(e, s, null); }}>
            <polyline className="zones-reach" points={stroke(s.points)} />
            {[s.points, ...arrows(s, ratio)].map((points, n) => (
              <g key={n}>
                <polyline className="zones-edge" points={stroke(points)} />
                <polyline {...(n ? { "data-arrow": s.kind } : { "data-shape": s.kind })} points={stroke(points)} />
              </g>
            ))}
          </g>
        ) : (
          <polygon key={s.id} data-shape={s.kind} className={`zones-${s.kind}`} data-chosen={s.id === shape?.id || undefined} points={stroke(s.points)} onPointerDown={(e) => { onChoose(s.id); grab(e, s, null); }} />
        ))}
        {first && end && <g className={`zones-line zones-${draw}`} data-chosen><polyline className="zones-edge" points={stroke([first, end])} /><polyline points={stroke([first, end])} /></g>}
      </svg>
      {shapes.map((s) => {
        // A line's name stands beside its beginning, where no arrow is.
        const [x, y] = about(s.kind).open ? (s.points[0] ?? [0, 0]) : [Math.min(...s.points.map((p) => p[0])), Math.min(...s.points.map((p) => p[1]))];
        return <button key={s.id} type="button" data-line={about(s.kind).open || undefined} className={`zones-label zones-${s.kind}`} style={where([x, y])} aria-pressed={s.id === shape?.id} aria-label={t(about(s.kind).open ? "zones.line" : "zones.area", { name: label(s) })} onPointerDown={(e) => { onChoose(s.id); grab(e, s, null); }} onFocus={() => onChoose(s.id)} onKeyDown={(e) => onKey(e, s, null)}>{label(s)}</button>;
      })}
      {shape && (
        <div role="group" aria-label={t(about(shape.kind).open ? "zones.points" : "zones.corners", { name: label(shape) })}>
          {shape.points.map((p, n) => (
            <button key={n} type="button" data-corner={n} className="zones-corner" style={where(p)} aria-label={t(about(shape.kind).open ? "zones.point" : "zones.corner", { n: n + 1, x: Math.round(p[0] * 100), y: Math.round(p[1] * 100) })} onPointerDown={(e) => grab(e, shape, n)} onKeyDown={(e) => onKey(e, shape, n)} onDoubleClick={() => shape.points.length > about(shape.kind).least && onPut({ ...shape, points: withoutCorner(shape, n) })}>{about(shape.kind).open && <span aria-hidden>{n + 1}</span>}</button>
          ))}
          {shape.points.length < about(shape.kind).most && shape.points.map((p, n) => {
            const q = shape.points[(n + 1) % shape.points.length] ?? p;
            // By keyboard a corner is added with Enter, so these need not be gone through.
            return <button key={`m${n}`} type="button" tabIndex={-1} aria-hidden className="zones-middle" style={where([(p[0] + q[0]) / 2, (p[1] + q[1]) / 2])} onPointerDown={(e) => { const more = { ...shape, points: split(shape, n) }; onPut(more); grab(e, more, n + 1, true); }} />;
          })}
        </div>
      )}
      {draw && <p className="zones-drawing">{t(first ? "zones.draw_second" : "zones.draw_first")}</p>}
    </div>
  );
}
