import { Film, Shield, ShieldOff, Trash2 } from "lucide-react";
import { type KeyboardEvent, useEffect, useMemo, useRef, useState } from "react";
import { ask, post, remove } from "~/api/client";
import { useMay } from "~/api/session";
import type { Segment, Segments } from "~/api/types";
import { Button } from "~/components/button";
import { Empty, ErrorNote, Spinner } from "~/components/misc";
import { toast, toastError, toastUndo } from "~/components/toast";
import { useT } from "~/i18n";
import { dateText, dayRange } from "~/lib/days";
import { bytes, clock, dateFormat, duration } from "~/lib/format";
import { useMedia } from "~/lib/media";
import { usePages } from "~/lib/pages";
import { offsets, useScroll, visible } from "~/lib/virtual";
import { Detail, codecName, shownSegment } from "./detail";
import { type Filters, hasMark } from "./filters";
import { NewestFirst } from "./newest";
import { removal } from "./removal";
import { Thumb } from "./thumb";

type Row = { kind: "day"; date: string; key: string } | { kind: "segment"; segment: Segment; key: string };

/** Files of the cameras, newest first, loaded while one scrolls. */
export function Files({ cameras, filters, names, onClear }: { cameras: string[]; filters: Filters; names: Map<string, string>; onClear(): void }) {
  const t = useT();
  const operator = useMay("operator");
  const admin = useMay("admin");
  const wide = useMedia("(min-width: 721px)");
  const scroller = useRef<HTMLDivElement>(null);
  const seen = useScroll(scroller);
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const [chosen, setChosen] = useState<ReadonlySet<number>>(new Set());
  const [open, setOpen] = useState<number | null>(null);
  const lastChosen = useRef<number | null>(null);

  const day = dayRange(filters.day);
  const source = useRef<NewestFirst | null>(null);
  const pages = usePages<Segment>("all", async (cursor, signal) => {
    if (cursor === null || !source.current) {
      const range = day ? { from: day.from.toISOString(), to: day.to.toISOString() } : {};
      source.current = new NewestFirst(cameras, (camera, at) => ask<Segments>(`/cameras/${camera}/segments`, { signal, query: { ...range, order: "desc", limit: filters.mark === "all" ? 60 : 500, cursor: at } }));
    }
    const items = await source.current.page(60, (s) => hasMark(s, filters.mark));
    return { items, next: source.current.done ? null : "more" };
  });

  const segments = useMemo(() => pages.items.filter((s) => !hidden.has(s.id)), [pages.items, hidden]);
  const rows = useMemo(() => {
    const all: Row[] = [];
    let last = "";
    for (const segment of segments) {
      const date = dateText(new Date(segment.start));
      if (date !== last) all.push({ kind: "day", date, key: `d${date}` });
      last = date;
      all.push({ kind: "segment", segment, key: `s${segment.id}` });
    }
    return all;
  }, [segments]);
  const starts = useMemo(() => offsets(rows.map((r) => (r.kind === "day" ? 34 : wide ? 66 : 72))), [rows, wide]);
  const [first, behind] = visible(starts, seen.top, seen.top + seen.height);
  const height = starts.at(-1) ?? 0;

  // The end is near: the next page. What is looked for may be far back; then nothing is loaded unasked.
  const { loadMore, more, loading } = pages;
  const near = seen.top + seen.height > height - 900;
  useEffect(() => {
    if (more && !loading && near && (filters.mark === "all" || segments.length > 0)) loadMore();
  }, [more, loading, near, loadMore, filters.mark, segments.length]);

  const shown = segments.find((s) => s.id === open) ?? null;
  const selection = segments.filter((s) => chosen.has(s.id));

  const choose = (id: number, on: boolean, through: boolean) => {
    const next = new Set(chosen);
    const from = segments.findIndex((s) => s.id === lastChosen.current);
    const to = segments.findIndex((s) => s.id === id);
    const range = through && from >= 0 ? segments.slice(Math.min(from, to), Math.max(from, to) + 1) : segments.slice(to, to + 1);
    for (const s of range) {
      if (on) next.add(s.id);
      else next.delete(s.id);
    }
    lastChosen.current = id;
    setChosen(next);
  };

  const protect = async (all: Segment[], on: boolean) => {
    const done: Segment[] = [];
    let why: unknown = null;
    for (const s of all.filter((s) => s.protected !== on)) {
      try {
        done.push(await post<Segment>(`/segments/${s.id}/protect`, undefined, { off: !on || null }));
      } catch (e) {
        why = e;
      }
    }
    const fresh = new Map(done.map((s) => [s.id, s]));
    pages.change((old) => old.map((s) => fresh.get(s.id) ?? s));
    if (why) toastError(why);
    else toast(t(on ? "recordings.protected_done" : "recordings.unprotected_done", { n: all.length }));
  };

  const erase = (all: Segment[]) => {
    const free = all.filter((s) => !s.protected && s.state !== "open");
    if (!free.length) return toast(t("recordings.cannot_delete"), "bad");
    const ids = free.map((s) => s.id);
    const change = (on: boolean) => (of: number[]) => setHidden((old) => {
      const next = new Set(old);
      for (const id of of) {
        if (on) next.add(id);
        else next.delete(id);
      }
      return next;
    });
    const r = removal(ids, {
      hide: change(true),
      show: change(false),
      send: (id) => remove(`/segments/${id}`),
      refused: (bad) => toast(t("recordings.delete_failed", { n: bad.length, why: (bad[0]?.error as Error).message }), "bad"),
    });
    setChosen(new Set());
    if (open !== null && ids.includes(open)) setOpen(null);
    toastUndo(t("recordings.deleted", { n: ids.length }), { undo: () => r.undo(), commit: () => void r.commit() });
  };

  const onKeyDown = (e: KeyboardEvent) => {
    if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
    const now = (e.target as HTMLElement).closest<HTMLElement>("[data-n]");
    if (!now) return;
    e.preventDefault();
    const by = e.key === "ArrowDown" ? 1 : -1;
    let n = Number(now.dataset["n"]) + by;
    if (rows[n]?.kind === "day") n += by;
    scroller.current?.querySelector<HTMLElement>(`[data-n="${n}"] .seg-main`)?.focus();
  };

  if (pages.error && !pages.items.length) return <ErrorNote error={pages.error} onRetry={pages.reload} />;
  if (!rows.length) {
    if (loading) return <div className="center"><Spinner /></div>;
    return (
      <Empty icon={<Film size={24} strokeWidth={1.5} aria-hidden />} title={t("recordings.none")}>
        <p>{t("recordings.none_text")}</p>
        <div className="row">
          {more && <Button onClick={loadMore}>{t("recordings.load_more")}</Button>}
          {(filters.camera || filters.day || filters.mark !== "all") && <Button onClick={onClear}>{t("recordings.clear")}</Button>}
        </div>
      </Empty>
    );
  }
  return (
    <div className={shown ? "with-detail" : "without-detail"}>
      <div className="card list-card">
        <div className="list-head">
          {(operator || admin) && <input type="checkbox" aria-label={chosen.size ? t("recordings.select_none") : t("recordings.select_all")} checked={chosen.size > 0 && selection.length === segments.length} ref={(box) => { if (box) box.indeterminate = selection.length > 0 && selection.length < segments.length; }} onChange={() => setChosen(chosen.size ? new Set() : new Set(segments.map((s) => s.id)))} />}
          {selection.length ? (
            <>
              <b>{t("recordings.selected", { n: selection.length, size: bytes(selection.reduce((sum, s) => sum + s.size_bytes, 0)) })}</b>
              <div className="list-tools">
                {operator && <Button size="small" icon={<Shield size={14} />} onClick={() => void protect(selection, true)}>{t("recordings.protect")}</Button>}
                {operator && selection.some((s) => s.protected) && <Button size="small" icon={<ShieldOff size={14} />} onClick={() => void protect(selection, false)}>{t("recordings.unprotect")}</Button>}
                {admin && <Button size="small" kind="danger" icon={<Trash2 size={14} />} onClick={() => erase(selection)}>{t("common.delete")}</Button>}
              </div>
            </>
          ) : (
            <span className="muted" role="status">{t(more ? "recordings.shown_more" : "recordings.shown", { n: segments.length })}</span>
          )}
        </div>
        <div className="list-scroll" ref={scroller} onKeyDown={onKeyDown}>
          <ul aria-label={t("recordings.list")} style={{ height: height + (more ? 48 : 0), position: "relative" }}>
            {rows.slice(first, behind).map((row, i) => {
              const n = first + i;
              const place = { transform: `translateY(${starts[n]}px)`, height: (starts[n + 1] ?? 0) - (starts[n] ?? 0) };
              if (row.kind === "day") {
                return <li key={row.key} className="day-row" style={place}>{dateFormat({ weekday: "long", day: "numeric", month: "long", year: "numeric" }).format(new Date(`${row.date}T12:00`))}</li>;
              }
              const s = row.segment;
              const name = names.get(s.camera) ?? s.camera;
              const time = clock(s.start);
              return (
                <li key={row.key} data-n={n} className="seg" data-open={s.id === open || undefined} style={place}>
                  {(operator || admin) && (
                    <input type="checkbox" aria-label={t("recordings.select", { camera: name, time })} checked={chosen.has(s.id)} onChange={(e) => choose(s.id, e.target.checked, (e.nativeEvent as MouseEvent).shiftKey)} />
                  )}
                  <button type="button" className="seg-main" aria-label={t("recordings.open", { camera: name, time })} aria-pressed={s.id === open} onClick={() => setOpen(s.id === open ? null : s.id)}>
                    <Thumb camera={s.camera} at={s.start} state={s.state} />
                    <span className="seg-text">
                      <span className="seg-title"><b>{time}</b><span className="ellipsis">{name}</span></span>
                      <span className="seg-facts muted">
                        <span>{duration(s.duration_seconds)}</span>
                        <span>{bytes(s.size_bytes)}</span>
                        <span className="wide-only">{codecName(s.tracks.video.codec)} {s.tracks.video.height}p</span>
                      </span>
                    </span>
                    <Tags segment={s} />
                  </button>
                </li>
              );
            })}
            {more && <li className="list-end" style={{ transform: `translateY(${height}px)` }}>{loading ? <Spinner /> : <Button size="small" onClick={loadMore}>{t("recordings.load_more")}</Button>}</li>}
          </ul>
        </div>
      </div>
      {shown && (
        <Detail
          shown={shownSegment(shown)}
          name={names.get(shown.camera) ?? shown.camera}
          onClose={() => setOpen(null)}
          onProtect={(on) => void protect([shown], on)}
          onDelete={admin && !shown.protected && shown.state !== "open" ? () => erase([shown]) : undefined}
        />
      )}
    </div>
  );
}

function Tags({ segment: s }: { segment: Segment }) {
  const t = useT();
  return (
    <span className="seg-tags">
      {s.state === "open" && <span className="tag tag-bad">{t("recordings.tag_open")}</span>}
      {s.protected && <span className="tag tag-good"><Shield size={11} aria-hidden />{t("recordings.tag_protected")}</span>}
      {s.event && <span className="tag tag-accent">{t("recordings.tag_event")}</span>}
      {s.transcoded && <span className="tag">{t("recordings.tag_transcoded")}</span>}
      {s.state === "remote" && <span className="tag">{t("recordings.tag_remote")}</span>}
      {s.state === "missing" && <span className="tag tag-bad">{t("recordings.tag_missing")}</span>}
      {s.state === "recovered" && <span className="tag tag-warn">{t("recordings.tag_recovered")}</span>}
    </span>
  );
}
