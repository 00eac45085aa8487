import { CalendarSearch, Download, Scissors, Share2, ShieldCheck, X, ZoomIn, ZoomOut } from "lucide-react";
import { type FormEvent, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { useCameras } from "~/api/cameras";
import { ask, post } from "~/api/client";
import { session, useMay } from "~/api/session";
import type { Camera, Segments } from "~/api/types";
import { Button } from "~/components/button";
import { Empty, ErrorNote, PageHead, Spinner } from "~/components/misc";
import { Segmented } from "~/components/tabs";
import { toastError, toastUndo } from "~/components/toast";
import { t as say, useT } from "~/i18n";
import { useEdges } from "~/lib/edges";
import { duration } from "~/lib/format";
import { remembered, useStore } from "~/lib/store";
import { mediaSource } from "~/live/mse";
import { Player, RATES } from "~/playback/player";
import { Controls } from "./controls";
import { type Band, hasFootage, useLanes } from "./data";
import { ExportDialog } from "./export";
import { Pane } from "./pane";
import { DAY, HOUR, type View, bounded, centred, panned, span, zoomed } from "./scale";
import { useStrips } from "./motion";
import { Scrubber } from "./scrubber";
import { Seen } from "./seen";
import { ShareDialog } from "./share";
import { fromLocal, toLocal } from "./times";

/** Videos that are decoded at once. */
const MOST = 9;
const SPANS = [["span_hour", HOUR], ["span_quarter", 6 * HOUR], ["span_day", DAY], ["span_week", 7 * DAY], ["span_month", 31 * DAY]] as const;

const chosenCameras = remembered<string[]>("timeline.cameras", [], (v) => (Array.isArray(v) && v.every((x) => typeof x === "string") ? v : null));
const spanChosen = remembered("timeline.span", HOUR, (v) => (typeof v === "number" && v > 0 ? v : null));

export default function TimelinePage() {
  const t = useT();
  const { data, error, reload } = useCameras();
  return (
    <div className="timeline">
      {error && !data && <ErrorNote error={error} onRetry={() => void reload()} />}
      {!data && !error && <div className="center"><Spinner /></div>}
      {data && (mediaSource() ? data.length ? <Timeline all={data} /> : <Empty title={t("common.nothing")} /> : <Empty title={t("timeline.no_video")} />)}
    </div>
  );
}

function Timeline({ all }: { all: Camera[] }) {
  const t = useT();
  const [search] = useSearchParams();
  const remembered = useStore(chosenCameras);
  const asked = search.get("camera");
  useEffect(() => {
    if (asked) chosenCameras.set(asked.split(","));
  }, [asked]);
  const cameras = useMemo(() => {
    const known = remembered.map((id) => all.find((c) => c.id === id)).filter((c) => c !== undefined);
    return (known.length ? known : all.slice(0, 1)).slice(0, MOST);
  }, [all, remembered]);
  const ids = useMemo(() => cameras.map((c) => c.id), [cameras]);
  const names = useMemo(() => new Map(all.map((c) => [c.id, c.name])), [all]);

  const start = useMemo(() => Date.parse(search.get("at") ?? "") || Date.now() - 30_000, [search]);
  const player = usePlayer(start);
  const [view, setView] = useState<View>(() => centred(start, spanChosen.get(), Date.now()));
  const [width, setWidth] = useState(0);
  const [scrub, setScrub] = useState<number | null>(null);
  const [mark, setMark] = useState<Band | null>(null);
  const [sound, setSound] = useState(false);
  const [dialog, setDialog] = useState<"export" | "share" | null>(null);
  const lanes = useLanes(ids, view, width);
  const strips = useStrips(ids, view, width);
  const latest = useRef({ view, scrub, mark });
  latest.current = { view, scrub, mark };
  const operates = useMay("operator");
  const shares = useStore(session)?.auth === "accounts" && operates;

  const show = useCallback((next: View) => {
    setView(next);
    spanChosen.set(span(next));
  }, []);
  useFollow(player, latest, show);

  const goTo = useCallback((time: number) => {
    player.seek(time);
    const { view } = latest.current;
    if (time < view.from || time > view.to) setView(centred(time, span(view), Date.now()));
  }, [player]);

  const toggle = (id: string) => {
    const next = ids.includes(id) ? ids.filter((x) => x !== id) : [...ids, id];
    if (next.length) chosenCameras.set(next.slice(-MOST));
  };
  const zoom = (factor: number) => {
    const at = player.time;
    const around = at >= view.from && at <= view.to ? at : (view.from + view.to) / 2;
    show(zoomed(view, factor, around, Date.now()));
  };
  const markHere = (end: "start" | "end") => {
    const at = player.time;
    setMark((old) => {
      const length = Math.max(span(latest.current.view) / 20, 1000);
      if (!old) return end === "start" ? { start: at, end: Math.min(at + length, Date.now()) } : { start: at - length, end: at };
      return end === "start" ? { start: at, end: Math.max(old.end, at + 100) } : { start: Math.min(old.start, at - 100), end: at };
    });
  };

  const onKey = useRef<(e: KeyboardEvent) => boolean>(() => false);
  onKey.current = (e) => {
    const { playing, rate } = player.state.get();
    const shift = e.shiftKey ? 10 : 1;
    const actions: Record<string, () => void> = {
      " ": () => (playing ? player.pause() : player.play()),
      k: () => (playing ? player.pause() : player.play()),
      ArrowLeft: () => goTo(player.time - (shift * span(view)) / 100),
      ArrowRight: () => goTo(player.time + (shift * span(view)) / 100),
      j: () => goTo(player.time - 10_000),
      l: () => goTo(player.time + 10_000),
      ",": () => void player.step(-1),
      ".": () => void player.step(1),
      "+": () => zoom(0.5),
      "=": () => zoom(0.5),
      "-": () => zoom(2),
      PageUp: () => show(panned(view, -0.8 * span(view), Date.now())),
      PageDown: () => show(panned(view, 0.8 * span(view), Date.now())),
      i: () => markHere("start"),
      o: () => markHere("end"),
      "[": () => player.setRate(RATES[Math.max(0, RATES.indexOf(rate as 1) - 1)] ?? 1),
      "]": () => player.setRate(RATES[Math.min(RATES.length - 1, RATES.indexOf(rate as 1) + 1)] ?? 1),
      End: () => void toNewest(),
    };
    const action = actions[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    action?.();
    return !!action;
  };
  useEffect(() => {
    const listener = (e: KeyboardEvent) => {
      const target = e.target as HTMLElement;
      if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]") || target.closest("input:not([type=radio]), select, textarea, [role=menu], [role=tablist]")) return;
      if (e.key.startsWith("Arrow") && target.closest("input")) return;
      if (e.key === " " && target.closest("button, a")) return;
      if (onKey.current(e)) e.preventDefault();
    };
    addEventListener("keydown", listener);
    return () => removeEventListener("keydown", listener);
  }, []);

  // A page that is opened without a moment begins where there is something to see, be the recorder younger than that or idle.
  const settled = useRef(search.has("at"));
  useEffect(() => {
    const ranges = lanes.flatMap((l) => l.ranges);
    if (settled.current || !ranges.length) return;
    settled.current = true;
    if (Math.abs(player.time - start) > 1000 || lanes.some((l) => hasFootage(l, start))) return;
    const later = ranges.filter((r) => r.start > start).map((r) => r.start);
    goTo(later.length ? Math.min(...later) : Math.max(...ranges.map((r) => r.end)) - 8000);
  }, [lanes, player, start, goTo]);

  /** To the newest footage of what is shown. */
  const toNewest = async () => {
    try {
      const found = await Promise.all(ids.map((id) => ask<Segments>(`/cameras/${id}/segments`, { query: { order: "desc", limit: 1 } })));
      const ends = found.flatMap(({ segments }) => segments.map((s) => (s.state === "open" ? Date.now() : Date.parse(s.start) + s.duration_seconds * 1000)));
      const newest = Math.max(...ends) - 8000;
      if (Number.isFinite(newest)) {
        player.seek(newest);
        setView(centred(newest, span(view), Date.now()));
        player.play();
      }
    } catch (e) {
      toastError(e);
    }
  };

  const protect = async (on: boolean, range: Band) => {
    const query = { from: new Date(range.start).toISOString(), to: new Date(range.end).toISOString(), ...(on ? {} : { off: true }) };
    for (const id of ids) await post(`/cameras/${id}/protect`, undefined, query);
  };
  const onProtect = async () => {
    const range = mark;
    if (!range) return;
    try {
      await protect(true, range);
      toastUndo(say("timeline.protected", { length: duration((range.end - range.start) / 1000) }), { undo: () => void protect(false, range).catch(toastError) });
    } catch (e) {
      toastError(e);
    }
  };

  const columns = cameras.length === 1 ? 1 : cameras.length <= 4 ? 2 : 3;
  const audible = cameras.find((c) => c.tracks?.audio);
  return (
    <>
      <PageHead title={t("common.nav_timeline")}>
        <Chips all={all} chosen={ids} onToggle={toggle} />
        <Jump player={player} onGo={goTo} />
      </PageHead>
      <div className="panes" style={{ gridTemplateColumns: `repeat(${columns}, minmax(0, 1fr))` }}>
        {cameras.map((camera) => (
          <Pane key={camera.id} camera={camera} player={player} lane={lanes.find((l) => l.camera === camera.id)} scrub={scrub} sound={sound && camera.id === audible?.id} onOpen={cameras.length > 1 ? () => chosenCameras.set([camera.id]) : undefined} />
        ))}
      </div>
      <Controls player={player} scrub={scrub} sound={sound} onSound={() => setSound(!sound)} canSound={!!audible} onNow={() => void toNewest()} />
      <Scrubber
        strips={strips}
        lanes={lanes}
        names={names}
        view={view}
        onView={show}
        time={() => latest.current.scrub ?? player.time}
        onTime={player.onTime.bind(player)}
        onScrub={(time, done) => {
          setScrub(done ? null : time);
          if (done) player.seek(time);
        }}
        mark={mark}
        onMark={setMark}
        onWidth={setWidth}
      />
      <Seen cameras={ids} names={names} view={view} width={width} onGo={goTo} />
      <div className="timeline-foot">
        <div className="row">
          <Segmented
            label={t("timeline.span")}
            value={SPANS.find(([, length]) => Math.abs(span(view) / length - 1) < 0.02)?.[0] ?? "none"}
            options={SPANS.map(([key]) => ({ key: key as string, label: t(`timeline.${key}`) }))}
            onChange={(key) => {
              const length = SPANS.find(([k]) => k === key)?.[1] ?? HOUR;
              show(centred(player.time, length, Date.now()));
            }}
          />
          <Button kind="ghost" icon={<ZoomOut size={16} />} label={t("timeline.zoom_out")} onClick={() => zoom(2)} />
          <Button kind="ghost" icon={<ZoomIn size={16} />} label={t("timeline.zoom_in")} onClick={() => zoom(0.5)} />
        </div>
        <div className="row">
          {mark ? (
            <>
              <span className="muted">{t("timeline.marked", { length: duration((mark.end - mark.start) / 1000) })}</span>
              {operates && <Button kind="primary" icon={<Download size={15} />} onClick={() => setDialog("export")}>{t("timeline.export")}</Button>}
              {operates && <Button icon={<ShieldCheck size={15} />} onClick={() => void onProtect()}>{t("timeline.protect")}</Button>}
              {shares && <Button icon={<Share2 size={15} />} onClick={() => setDialog("share")}>{t("timeline.share")}</Button>}
              <Button kind="ghost" icon={<X size={16} />} label={t("timeline.unmark")} onClick={() => setMark(null)} />
            </>
          ) : (
            <Button icon={<Scissors size={15} />} onClick={() => markHere("start")}>{t("timeline.mark")}</Button>
          )}
        </div>
      </div>
      {dialog === "export" && mark && <ExportDialog cameras={cameras} mark={mark} onClose={() => setDialog(null)} />}
      {dialog === "share" && mark && <ShareDialog cameras={cameras} mark={mark} onClose={() => setDialog(null)} />}
    </>
  );
}

function usePlayer(start: number): Player {
  const [player, setPlayer] = useState(() => new Player(start));
  const used = useRef(player);
  useEffect(() => {
    // Mounted anew (as React's strict mode does), an ended player is of no use.
    let mine = used.current;
    if (mine.ended) {
      mine = new Player(start);
      used.current = mine;
      setPlayer(mine);
    }
    return () => mine.end();
  }, [start]);
  return player;
}

/** While it plays, what is shown stays in view. */
function useFollow(player: Player, latest: { current: { view: View; scrub: number | null } }, show: (view: View) => void): void {
  useEffect(
    () =>
      player.onTime((time) => {
        const { view, scrub } = latest.current;
        if (scrub !== null || !player.state.get().playing) return;
        const length = span(view);
        const share = (time - view.from) / length;
        // Only where it leaves by itself: who looks elsewhere is left there.
        if (share > 0.96 && share < 1.1) show(bounded({ from: time - length * 0.5, to: time + length * 0.5 }, Date.now()));
      }),
    [player, latest, show],
  );
}

function Chips({ all, chosen, onToggle }: { all: Camera[]; chosen: string[]; onToggle(id: string): void }) {
  const t = useT();
  const box = useEdges<HTMLDivElement>();
  return (
    <div ref={box} className="chips edges" role="group" aria-label={t("timeline.cameras")}>
      {all.map((camera) => (
        <button key={camera.id} type="button" className="chip" aria-pressed={chosen.includes(camera.id)} onClick={() => onToggle(camera.id)}>{camera.name}</button>
      ))}
    </div>
  );
}

/** The moment that is shown, to be changed: it follows, unless somebody is about to enter another. */
function Jump({ player, onGo }: { player: Player; onGo(time: number): void }) {
  const t = useT();
  const [shown, setShown] = useState(() => toLocal(player.time));
  const [entered, setEntered] = useState<string | null>(null);
  useEffect(() => {
    const follow = () => setShown(toLocal(player.time));
    follow();
    return player.onTime(follow);
  }, [player]);
  const submit = (e: FormEvent) => {
    e.preventDefault();
    const time = fromLocal(entered ?? shown);
    if (Number.isFinite(time)) onGo(Math.min(time, Date.now()));
    setEntered(null);
  };
  return (
    <form className="jump" onSubmit={submit} onBlur={(e) => !e.currentTarget.contains(e.relatedTarget) && setEntered(null)}>
      <input
        className="input"
        type="datetime-local"
        step="1"
        aria-label={t("timeline.jump")}
        title={t("timeline.jump")}
        value={entered ?? shown}
        onFocus={() => setEntered(shown)}
        onChange={(e) => setEntered(e.target.value)}
        onKeyDown={(e) => {
          if (e.key === "Escape") e.currentTarget.blur();
        }}
      />
      <Button type="submit" icon={<CalendarSearch size={16} />} label={t("timeline.jump")} />
    </form>
  );
}
