import { Plus, Redo2, RefreshCw, Trash2, Undo2 } from "lucide-react";
import { type KeyboardEvent, type MouseEvent, useEffect, useRef, useState } from "react";
import { url } from "~/api/client";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Select, TextField } from "~/components/field";
import { useT } from "~/i18n";
import { Canvas } from "./canvas";
import { type Direction, KINDS, type History, type Kind, type Point, type Shape, about, begin, change, freeName, fresh, mistakeOf, parse, rectangle, redo, stroke, undo, write } from "./model";

/** Draws the areas and lines of a camera over its picture. `onDone` is given the texts that differ. */
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
  /** A line is being drawn by its two points. */
  const [drawing, setDrawing] = useState(false);
  const [leaving, setLeaving] = useState(false);
  useEffect(() => {
    if (!drawing) return undefined;
    // Escape leaves the line, not the editor.
    const leave = (e: globalThis.KeyboardEvent) => {
      if (e.key !== "Escape") return;
      e.preventDefault();
      setDrawing(false);
    };
    document.addEventListener("keydown", leave);
    return () => document.removeEventListener("keydown", leave);
  }, [drawing]);
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
  const place = (kind: Kind, points?: readonly Point[]) => {
    const { named, open } = about(kind);
    const one: Shape = {
      id: fresh(), kind, name: named ? freeName(t(`zones.${kind}_name`), kind, shapes) : "", sensitivity: null,
      ...(open ? { direction: "any" as const } : {}), points: points ?? (open ? stroke : rectangle)(shapes.length),
    };
    setDrawing(false);
    apply([...shapes, one]);
    setChosen(one.id);
    setSaid(t(points ? "zones.drawn" : "zones.added", { name: one.name || t(`zones.${kind}_one`, { n: shapes.filter((s) => s.kind === kind).length + 1 }) }));
  };
  const add = (kind: Kind, e: MouseEvent) => {
    // Lines are drawn by two points; by keyboard they begin in the middle, as areas do.
    if (!about(kind).open || e.detail === 0) return place(kind);
    setDrawing(!drawing);
    setChosen(null);
    if (!drawing) setSaid(t("zones.draw_first"));
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

  const wrong = shapes.some((s) => mistakeOf(s, shapes));
  const changes = kinds.map(({ key }): [Kind, string | null] => [key, write(key, shapes)]).filter(([key, text]) => text !== write(key, read.find((r) => r.key === key)?.shapes ?? []));
  // What was drawn is not to be lost by one key.
  const leave = () => (changes.length ? setLeaving(true) : onClose());
  return (
    <>
    <Dialog
      title={t("zones.title", { camera: name })}
      wide
      onClose={leave}
      actions={
        <>
          <Button onClick={leave}>{t("common.cancel")}</Button>
          <Button kind="primary" disabled={wrong} onClick={() => (changes.length ? onDone(changes) : onClose())}>{t("zones.done")}</Button>
        </>
      }
    >
      <div className="zones" onKeyDown={onKeyDown}>
        <div className="zones-main">
          <div className="zones-picture" style={{ aspectRatio: String(ratio) }} data-absent={absent || undefined}>
            <img key={look} src={`${url(`/cameras/${encodeURIComponent(camera)}/snapshot.jpg`, { width: 1280 })}#${look}`} alt={t("zones.picture", { camera: name })} draggable={false} onLoad={(e) => { setAbsent(false); setRatio(e.currentTarget.naturalWidth / e.currentTarget.naturalHeight || 16 / 9); }} onError={() => setAbsent(true)} />
            {absent && <p className="zones-absent">{t("zones.no_picture")}</p>}
            <Canvas {...{ shapes, shape, label, ratio }} draw={drawing ? "motion_lines" : null} onDrawn={(points) => place("motion_lines", points)} onChoose={setChosen} onPut={put} onDrop={drop} onSay={setSaid} />
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
          {kinds.map(({ key, sensitive, named, open, shapes: most }) => {
            const mine = shapes.filter((s) => s.kind === key);
            return (
              <section key={key} data-kind={key} aria-label={t(`zones.${key}`)}>
                <header>
                  <i className={`zones-key zones-${key}`} aria-hidden />
                  <h3>{t(`zones.${key}`)}</h3>
                  <Button size="small" icon={<Plus size={14} />} label={t("zones.add_to", { kind: t(`zones.${key}`) })} pressed={open ? drawing : undefined} disabled={mine.length >= most} onClick={(e) => add(key, e)} />
                </header>
                <p className="muted">{t(`zones.${key}_about`)}</p>
                <ul>
                  {mine.map((s) => {
                    const mistake = mistakeOf(s, shapes);
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
                        {open && s.id === chosen && (
                          <Select label={t("zones.direction")} hint={t("zones.direction_hint")} value={s.direction ?? "any"} onChange={(e) => put({ ...s, direction: e.target.value as Direction })}>
                            {(["any", "left_to_right", "right_to_left"] as const).map((way) => <option key={way} value={way}>{t(`zones.direction_${way}`)}</option>)}
                          </Select>
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
    {leaving && (
      <Dialog title={t("zones.leave")} onClose={() => setLeaving(false)} actions={<><Button onClick={() => setLeaving(false)}>{t("zones.leave_not")}</Button><Button kind="danger" onClick={onClose}>{t("zones.leave_do")}</Button></>}>
        <p>{t("zones.leave_text")}</p>
      </Dialog>
    )}
    </>
  );
}
