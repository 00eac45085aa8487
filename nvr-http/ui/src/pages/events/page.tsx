import { Activity, BellRing, Camera, CircleAlert, ImageOff, Info, Search, Spline, UserRound, X } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { useCameras } from "~/api/cameras";
import { ask } from "~/api/client";
import { type Detection, type DetectionKind, detectionOf, pictureOf, sureOf } from "~/api/detections";
import { useEvents } from "~/api/events";
import type { NvrEvent } from "~/api/types";
import { Button } from "~/components/button";
import { Select, TextField } from "~/components/field";
import { Badge, Empty, ErrorNote, PageHead, Spinner } from "~/components/misc";
import { useT } from "~/i18n";
import { dateText, secondsBetween } from "~/lib/days";
import { clock, dateFormat, duration, percent } from "~/lib/format";
import { usePages } from "~/lib/pages";
import { titleOf } from "~/lib/seen-title";
import { framed, objectOf } from "./objects";
import { type Filters, OTHER_CHOICES, SEEN_CHOICES, type What, asked, isNarrow, readFilters, writeFilters } from "./filters";
import { KINDS, TONES, about } from "./kinds";

export const DETECTION_ICONS = { motion: Activity, object: UserRound, line: Spline, camera: Camera, external: BellRing } satisfies Record<DetectionKind, unknown>;

/** All that happened: what was seen, outages, troubles; newest first. */
export default function EventsPage() {
  const t = useT();
  const cameras = useCameras();
  const [search, setSearch] = useSearchParams();
  const filters = useMemo(() => readFilters(search.toString()), [search]);
  const change = (part: Partial<Filters>) => setSearch(writeFilters({ ...filters, ...part }), { replace: true });
  const names = useMemo(() => new Map(cameras.data?.map((c) => [c.id, c.name])), [cameras.data]);
  return (
    <div className="happenings">
      <PageHead title={t("common.nav_events")} />
      <div className="filters">
        <Select label={t("events.what")} hideLabel value={filters.what} onChange={(e) => change({ what: e.target.value as What })}>
          <option value="all">{t("events.what_all")}</option>
          <optgroup label={t("events.seen")}>{SEEN_CHOICES.map((w) => <option key={w} value={w}>{t(`events.what_${w}`)}</option>)}</optgroup>
          <optgroup label={t("events.happened")}>{OTHER_CHOICES.map((w) => <option key={w} value={w}>{t(`events.what_${w}`)}</option>)}</optgroup>
        </Select>
        <Select label={t("common.camera")} hideLabel value={filters.camera} onChange={(e) => change({ camera: e.target.value })}>
          <option value="">{t("common.all_cameras")}</option>
          {cameras.data?.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
        </Select>
        <label className="range-end"><span>{t("events.from")}</span><input className="input" type="datetime-local" value={filters.from} onChange={(e) => change({ from: e.target.value })} /></label>
        <label className="range-end"><span>{t("events.to")}</span><input className="input" type="datetime-local" value={filters.to} onChange={(e) => change({ to: e.target.value })} /></label>
        <Words value={filters.text} onChange={(text) => change({ text })} />
        {isNarrow(filters) && <Button kind="ghost" icon={<X size={15} />} onClick={() => setSearch("", { replace: true })}>{t("events.clear")}</Button>}
      </div>
      <List filters={filters} names={names} />
    </div>
  );
}

/** Words to find: asked for after a moment of rest. */
function Words({ value, onChange }: { value: string; onChange(text: string): void }) {
  const t = useT();
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  const latest = useRef(onChange);
  latest.current = onChange;
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => latest.current(text), 350);
    return () => clearTimeout(timer);
  }, [text, value]);
  return (
    <div className="search-field">
      <Search size={14} aria-hidden />
      <TextField label={t("events.find")} hideLabel type="search" placeholder={t("events.find")} value={text} onChange={(e) => setText(e.target.value)} />
    </div>
  );
}

function List({ filters, names }: { filters: Filters; names: Map<string, string> }) {
  const t = useT();
  const query = asked(filters);
  const list = usePages<NvrEvent>(`happenings ${JSON.stringify(query)}`, async (cursor, signal) => {
    const page = await ask<{ events: NvrEvent[]; next: string | null }>("/events", { signal, query: { ...query, limit: 50, cursor } });
    return { items: page.events, next: page.next };
  });
  const kinds = query.kind.split(",");
  useEvents([...kinds, "detection_ended"], (event) => {
    const seen = detectionOf(event);
    if (event.kind === "detection_ended") {
      list.change((old) => old.map((e) => (seen && detectionOf(e)?.id === seen.id ? { ...e, detail: { ...e.detail, detection: seen } } : e)));
      return;
    }
    // Progress of jobs is theirs; what is kept are failures.
    if (event.kind === "job_changed" && event.detail["state"] !== "failed") return;
    if (query.detection && seen?.kind !== query.detection) return;
    if (query.camera && event.camera !== query.camera) return;
    if ((query.from && event.at < query.from) || (query.to && event.at >= query.to)) return;
    if (query.text && !JSON.stringify(event).toLowerCase().includes(query.text.toLowerCase())) return;
    list.change((old) => (seen && old.some((e) => detectionOf(e)?.id === seen.id) ? old : [event, ...old].sort((a, b) => Date.parse(b.at) - Date.parse(a.at))));
  });

  const end = useRef<HTMLDivElement>(null);
  const { loadMore, more, loading } = list;
  useEffect(() => {
    if (!end.current || !more || loading) return;
    const observer = new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && loadMore(), { rootMargin: "600px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [more, loading, loadMore]);

  if (list.error && !list.items.length) return <ErrorNote error={list.error} onRetry={list.reload} />;
  if (!list.items.length) {
    if (loading) return <div className="center"><Spinner /></div>;
    const key = isNarrow(filters) ? "none_found" : "none";
    return <Empty icon={<BellRing size={24} strokeWidth={1.5} aria-hidden />} title={t(`events.${key}`)}><p>{t(`events.${key}_text`)}</p></Empty>;
  }
  const days: { date: string; events: NvrEvent[] }[] = [];
  for (const event of list.items) {
    const date = dateText(new Date(event.at));
    const last = days.at(-1);
    if (last?.date === date) last.events.push(event);
    else days.push({ date, events: [event] });
  }
  return (
    <div className="card happening-list" role="region" aria-label={t("events.list")}>
      {days.map(({ date, events }) => (
        <section key={date}>
          <h2 className="happening-day">{dateFormat({ weekday: "long", day: "numeric", month: "long", year: "numeric" }).format(new Date(`${date}T12:00`))}</h2>
          <ul>
            {events.map((event, n) => {
              const seen = detectionOf(event);
              return <li key={seen ? `d${seen.id}` : `${event.at} ${event.kind} ${event.camera} ${events.length - n}`}><Row event={event} seen={seen} name={event.camera ? (names.get(event.camera) ?? event.camera) : null} /></li>;
            })}
          </ul>
        </section>
      ))}
      <div ref={end} className="happening-end">{loading ? <Spinner /> : more && <Button size="small" onClick={loadMore}>{t("common.more")}</Button>}</div>
      {list.error && <ErrorNote error={list.error} onRetry={loadMore} />}
    </div>
  );
}

function Row({ event, seen, name }: { event: NvrEvent; seen: Detection | null; name: string | null }) {
  const t = useT();
  const kind = KINDS.find((k) => k === event.kind);
  const what = seen ? titleOf(t, seen) : kind ? t(`system.kind_${kind}`) : event.kind;
  const tone = (kind && TONES[kind]) ?? "none";
  const sure = seen && sureOf(seen);
  const words = seen ? [seen.to ? duration(Math.max(0, secondsBetween(seen.from, seen.to))) : t("events.goes_on"), sure === null ? "" : t("events.sure", { share: percent(sure) }), objectOf(seen).count > 1 ? t("events.at_once", { n: objectOf(seen).count }) : "", seen.source ? t("events.by", { source: seen.source }) : ""].filter(Boolean).join(" · ") : about(t, event);
  const inside = (
    <>
      {seen ? <Picture key={seen.best_at} seen={seen} /> : <span className={`thumb thumb-mark tone-${tone}`}>{tone === "none" || tone === "good" ? <Info size={18} aria-hidden /> : <CircleAlert size={18} aria-hidden />}</span>}
      <span className="happening-text">
        <span className="happening-title"><b>{seen ? what : <Badge tone={tone} dot>{what}</Badge>}</b>{name && <span className="ellipsis">{name}</span>}</span>
        <span className="happening-words muted">{words}</span>
      </span>
      {seen && !seen.to && <span className="tag tag-bad">{t("events.goes_on")}</span>}
      <time className="muted" dateTime={event.at}>{clock(event.at)}</time>
    </>
  );
  if (!event.camera) return <div className="happening">{inside}</div>;
  const at = seen ? seen.from : event.kind === "gap_closed" && typeof event.detail["since"] === "string" ? event.detail["since"] : event.at;
  return <Link className="happening" href={`/timeline?${new URLSearchParams({ camera: event.camera, at })}`}>{inside}</Link>;
}

function Picture({ seen }: { seen: Detection }) {
  const [gone, setGone] = useState(false);
  const [aspect, setAspect] = useState(0);
  const { box } = objectOf(seen);
  const Icon = DETECTION_ICONS[seen.kind] ?? BellRing;
  return (
    <span className="thumb">
      {gone ? <ImageOff size={16} aria-hidden /> : <img src={pictureOf(seen, 192)} alt="" width={96} height={54} loading="lazy" decoding="async" onLoad={(e) => setAspect(e.currentTarget.naturalWidth / e.currentTarget.naturalHeight)} onError={() => setGone(true)} />}
      {box && !gone && aspect > 0 && <span className="thumb-box" aria-hidden style={framed(box, aspect)} />}
      {/* A frame says that it is an object, which the sign might cover. */}
      {!box && <span className="thumb-kind" aria-hidden><Icon size={12} /></span>}
    </span>
  );
}
