import { Plus, Redo2, RefreshCw, Trash2, Undo2 } from "lucide-react";
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { url } from "~/api/client";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { TextField } from "~/components/field";
import { useT } from "~/i18n";
import { KINDS, type History, type Kind, LEAST, MOST, MOST_SHAPES, type Shape, begin, change, freeName, fresh, moveAll, moveCorner, nameMistake, parse, rectangle, redo, split, undo, withoutCorner, write } from "./model";

/** How far an arrow key moves; with Shift less. */
const STEP = 0.01;
const FINE = 0.002;
const ARROWS: Record<string, readonly [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Draws the areas of a camera over its picture. `onDone` is given the texts that differ. */
export default function ZoneEditor({ camera, name, texts, onDone, onClose }: { camera: string; name: string; texts: Partial<Record<Kind, string>>; onDone(changes: [Kind, string | null][]): void; onClose(): void }) {
  const t = useT();
  const [read] = useState(() => KINDS.map(({ key }) => ({ key, shapes: parse(key, texts[key] ?? "") })));
  const kinds = KINDS.filter((k) => read.find((r) => r.key === k.key)?.shapes);
  const [history, setHistory] = useState<History>(() => begin(read.flatMap((r) => r.shapes ?? [])));
  const [chosen, setChosen] = useState<number | null>(history.now[0]?.id ?? null);
  const [look, setLook] = useState(() => Date.now());
  const [ratio, setRatio] = useState(16 / 9);
  const [absent, setAbsent] = useState(false);
  const [said, setSaid] = useState("");
  const shapes = history.now;
  const shape = shapes.find((s) => s.id === chosen) ?? null;

  /** The area that is typed about: letter by letter is one step. */
  const typing = useRef<number | null>(null);
  const apply = (next: readonly Shape[], same = false, typed: number | null = null) => {
    const goesOn = same || (typed !== null && typing.current === typed);
    typing.current = typed;
    setHistory((h) => change(h, next, goesOn));
  };
  const put = (one: Shape, same = false) => apply(shapes.map((s) => (s.id === one.id ? one : s)), same);
  const type = (one: Shape) => apply(shapes.map((s) => (s.id === one.id ? one : s)), false, one.id);
  const label = (s: Shape): string => {
    const number = shapes.filter((o) => o.kind === s.kind).indexOf(s) + 1;
    return s.name.trim() || t(`zones.${s.kind}_one`, { n: number });
  };
  const add = (kind: Kind) => {
    const about = KINDS.find((k) => k.key === kind);
    const one: Shape = { id: fresh(), kind, name: about?.named ? freeName(t(`zones.${kind}_name`), kind, shapes) : "", sensitivity: null, points: rectangle(shapes.length) };
    apply([...shapes, one]);
    setChosen(one.id);
    setSaid(t("zones.added", { name: one.name || t(`zones.${kind}_one`, { n: shapes.filter((s) => s.kind === kind).length + 1 }) }));
  };
  const drop = (one: Shape) => {
    setSaid(t("zones.deleted", { name: label(one) }));
    apply(shapes.filter((s) => s.id !== one.id));
    if (chosen === one.id) setChosen(null);
  };
  const back = () => { setHistory(undo); setSaid(t("zones.undone")); };
  const again = () => { setHistory(redo); setSaid(t("zones.redone")); };
  const onKeyDown = (e: KeyboardEvent) => {
    // In a field these keys are the field's.
    if (!(e.ctrlKey || e.metaKey) || (e.target as Element).closest("input")) return;
    const key = e.key.toLowerCase();
    if (key === "z" || key === "y") {
      e.preventDefault();
      if (key === "y" || e.shiftKey) again();
      else back();
    }
  };

  const wrong = shapes.some((s) => nameMistake(s, shapes));
  const changes = kinds.map(({ key }): [Kind, string | null] => [key, write(key, shapes)]).filter(([key, text]) => text !== write(key, read.find((r) => r.key === key)?.shapes ?? []));
  return (
    <Dialog
      title={t("zones.title", { camera: name })}
      wide
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button kind="primary" disabled={wrong} onClick={() => (changes.length ? onDone(changes) : onClose())}>{t("zones.done")}</Button>
        </>
      }
    >
      <div className="zones" onKeyDown={onKeyDown}>
        <div className="zones-main">
          <div className="zones-picture" style={{ aspectRatio: String(ratio) }} data-absent={absent || undefined}>
            <img key={look} src={`${url(`/cameras/${encodeURIComponent(camera)}/snapshot.jpg`, { width: 1280 })}#${look}`} alt={t("zones.picture", { camera: name })} draggable={false} onLoad={(e) => { setAbsent(false); setRatio(e.currentTarget.naturalWidth / e.currentTarget.naturalHeight || 16 / 9); }} onError={() => setAbsent(true)} />
            {absent && <p className="zones-absent">{t("zones.no_picture")}</p>}
            <Canvas {...{ shapes, shape, label }} onChoose={setChosen} onPut={put} onDrop={drop} onSay={setSaid} />
          </div>
          <div className="zones-tools">
            <Button size="small" icon={<Undo2 size={14} />} label={t("zones.undo")} disabled={!history.past.length} onClick={back} />
            <Button size="small" icon={<Redo2 size={14} />} label={t("zones.redo")} disabled={!history.future.length} onClick={again} />
            <Button size="small" icon={<RefreshCw size={14} />} onClick={() => setLook(Date.now())}>{t("zones.refresh")}</Button>
          </div>
          <p className="muted zones-help">{t("zones.help")}</p>
          <p className="hidden" role="status">{said}</p>
        </div>
        <div className="zones-lists">
          {kinds.map(({ key, sensitive, named }) => {
            const mine = shapes.filter((s) => s.kind === key);
            return (
              <section key={key} data-kind={key} aria-label={t(`zones.${key}`)}>
                <header>
                  <i className={`zones-key zones-${key}`} aria-hidden />
                  <h3>{t(`zones.${key}`)}</h3>
                  <Button size="small" icon={<Plus size={14} />} label={t("zones.add_to", { kind: t(`zones.${key}`) })} disabled={mine.length >= MOST_SHAPES} onClick={() => add(key)} />
                </header>
                <p className="muted">{t(`zones.${key}_about`)}</p>
                <ul>
                  {mine.map((s) => {
                    const mistake = nameMistake(s, shapes);
                    return (
                      <li key={s.id} data-chosen={s.id === chosen || undefined}>
                        <div className="row">
                          {named && s.id === chosen
                            ? <TextField label={t("zones.name")} hideLabel value={s.name} maxLength={80} error={mistake && t(`zones.name_${mistake}`)} onChange={(e) => type({ ...s, name: e.target.value })} />
                            : <button type="button" className="zones-choose grow" aria-pressed={s.id === chosen} onClick={() => setChosen(s.id)}>{label(s)}{mistake && <b className="tone-bad"> · {t(`zones.name_${mistake}`)}</b>}</button>}
                          <Button kind="ghost" size="small" icon={<Trash2 size={14} />} label={t("zones.delete", { name: label(s) })} onClick={() => drop(s)} />
                        </div>
                        {sensitive && s.id === chosen && (
                          <TextField label={t("zones.sensitivity")} type="number" inputMode="numeric" min={1} max={100} placeholder={t("zones.sensitivity_all")} value={s.sensitivity ?? ""} onChange={(e) => type({ ...s, sensitivity: e.target.value === "" ? null : Math.min(100, Math.max(1, Math.round(Number(e.target.value)) || 1)) })} />
                        )}
                      </li>
                    );
                  })}
                </ul>
              </section>
            );
          })}
          {KINDS.filter((k) => !kinds.includes(k)).map((k) => <p key={k.key} className="note">{t("zones.by_hand", { key: k.key })}</p>)}
        </div>
      </div>
    </Dialog>
  );
}

/** The areas themselves, and the handles of the one that is chosen. */
function Canvas({ shapes, shape, label, onChoose, onPut, onDrop, onSay }: { shapes: readonly Shape[]; shape: Shape | null; label(s: Shape): string; onChoose(id: number | null): void; onPut(s: Shape, same?: boolean): void; onDrop(s: Shape): void; onSay(words: string): void }) {
  const t = useT();
  const box = useRef<HTMLDivElement>(null);
  const drag = useRef<{ from: readonly [number, number]; start: Shape; corner: number | null; moved: boolean } | null>(null);
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
  const onMove = (e: PointerEvent) => {
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
      else if (one.points.length > LEAST) {
        onPut({ ...one, points: withoutCorner(one.points, corner) });
        setWanted(Math.max(0, corner - 1));
        onSay(t("zones.corner_deleted"));
      } else onSay(t("zones.least"));
    } else if (corner !== null && (e.key === "Enter" || e.key === "+" || e.key === "Insert")) {
      e.preventDefault();
      if (one.points.length >= MOST) return;
      onPut({ ...one, points: split(one.points, corner) });
      setWanted(corner + 1);
      onSay(t("zones.corner_added"));
    }
  };
  const percent = (n: number) => `${n * 100}%`;
  const where = (p: readonly [number, number]) => ({ left: percent(p[0]), top: percent(p[1]) });
  return (
    <div ref={box} className="zones-canvas" onPointerMove={onMove} onPointerUp={() => { drag.current = null; }} onPointerCancel={() => { drag.current = null; }} onPointerDown={() => onChoose(null)}>
      <svg viewBox="0 0 1 1" preserveAspectRatio="none" aria-hidden>
        {shapes.map((s) => (
          <polygon key={s.id} data-shape={s.kind} className={`zones-${s.kind}`} data-chosen={s.id === shape?.id || undefined} points={s.points.map((p) => p.join(",")).join(" ")} onPointerDown={(e) => { onChoose(s.id); grab(e, s, null); }} />
        ))}
      </svg>
      {shapes.map((s) => {
        const [x, y] = [Math.min(...s.points.map((p) => p[0])), Math.min(...s.points.map((p) => p[1]))];
        return <button key={s.id} type="button" className={`zones-label zones-${s.kind}`} style={where([x, y])} aria-pressed={s.id === shape?.id} aria-label={t("zones.area", { name: label(s) })} onPointerDown={(e) => { onChoose(s.id); grab(e, s, null); }} onFocus={() => onChoose(s.id)} onKeyDown={(e) => onKey(e, s, null)}>{label(s)}</button>;
      })}
      {shape && (
        <div role="group" aria-label={t("zones.corners", { name: label(shape) })}>
          {shape.points.map((p, n) => (
            <button key={n} type="button" data-corner={n} className="zones-corner" style={where(p)} aria-label={t("zones.corner", { n: n + 1, x: Math.round(p[0] * 100), y: Math.round(p[1] * 100) })} onPointerDown={(e) => grab(e, shape, n)} onKeyDown={(e) => onKey(e, shape, n)} onDoubleClick={() => shape.points.length > LEAST && onPut({ ...shape, points: withoutCorner(shape.points, n) })} />
          ))}
          {shape.points.length < MOST && shape.points.map((p, n) => {
            const q = shape.points[(n + 1) % shape.points.length] ?? p;
            // By keyboard a corner is added with Enter, so these need not be gone through.
            return <button key={`m${n}`} type="button" tabIndex={-1} aria-hidden className="zones-middle" style={where([(p[0] + q[0]) / 2, (p[1] + q[1]) / 2])} onPointerDown={(e) => { const more = { ...shape, points: split(shape.points, n) }; onPut(more); grab(e, more, n + 1, true); }} />;
          })}
        </div>
      )}
    </div>
  );
}
