import { ChevronLeft, ChevronRight, Images, RotateCw } from "lucide-react";
import { useEffect, useMemo, useRef, useState } from "react";
import { useSearchParams } from "wouter";
import { useCameras } from "~/api/cameras";
import { ask } from "~/api/client";
import { type Still, stillUrl } from "~/api/stills";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Select, TextField } from "~/components/field";
import { Empty, ErrorNote, PageHead, Spinner } from "~/components/misc";
import { useT } from "~/i18n";
import { dateText, dayRange } from "~/lib/days";
import { clock, dateFormat } from "~/lib/format";
import { usePages } from "~/lib/pages";
import { byHour, otherDay } from "./hours";
import { Viewer } from "./viewer";

/** Width of a picture of the gallery, as it is asked for. */
const WIDTH = 320;

/** The stills of a camera's day. */
export default function StillsPage() {
  const t = useT();
  const cameras = useCameras();
  const [search, setSearch] = useSearchParams();
  const camera = search.get("camera") ?? cameras.data?.[0]?.id ?? "";
  const asked = search.get("day") ?? "";
  const today = dateText(new Date());
  const day = dayRange(asked) ? asked : today;
  const show = (part: { camera?: string; day?: string }) => setSearch({ camera, day, ...part }, { replace: true });
  const name = cameras.data?.find((c) => c.id === camera)?.name ?? camera;
  return (
    <>
      <PageHead title={t("stills.title")} />
      <div className="filters stills-filters">
        <Select label={t("common.camera")} hideLabel value={camera} onChange={(e) => show({ camera: e.target.value })}>
          {!cameras.data?.some((c) => c.id === camera) && <option value={camera}>{camera}</option>}
          {cameras.data?.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
        </Select>
        <div className="row stills-day">
          <Button kind="ghost" icon={<ChevronLeft size={16} />} label={t("stills.day_before")} onClick={() => show({ day: otherDay(day, -1) })} />
          <TextField label={t("stills.day")} hideLabel type="date" max={today} value={day} onChange={(e) => e.target.value && show({ day: e.target.value })} />
          <Button kind="ghost" icon={<ChevronRight size={16} />} label={t("stills.day_after")} disabled={day >= today} onClick={() => show({ day: otherDay(day, 1) })} />
        </div>
      </div>
      {camera ? <Gallery key={`${camera} ${day}`} camera={camera} name={name} day={day} onDay={(other) => show({ day: other })} /> : cameras.data ? <None /> : <div className="center"><Spinner /></div>}
    </>
  );
}

function None({ children }: { children?: React.ReactNode }) {
  const t = useT();
  return (
    <div className="card">
      <Empty icon={<Images size={24} strokeWidth={1.5} aria-hidden />} title={t("stills.none")}>
        <p>{t("stills.none_text")}</p>
        {children}
      </Empty>
    </div>
  );
}

function Gallery({ camera, name, day, onDay }: { camera: string; name: string; day: string; onDay(day: string): void }) {
  const t = useT();
  const range = dayRange(day)!;
  const list = usePages<Still>(`stills ${camera} ${day}`, async (cursor, signal) => {
    const query = { from: range.from.toISOString(), to: range.to.toISOString(), limit: 300, cursor };
    const page = await ask<{ stills: Still[]; next: string | null }>(`/cameras/${encodeURIComponent(camera)}/stills`, { signal, query });
    return { items: page.stills, next: page.next };
  });
  const [shown, setShown] = useState<number | null>(null);
  const { loadMore, more, loading, items } = list;
  const hours = useMemo(() => byHour(items), [items]);

  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!end.current || !more || loading) return;
    const observer = new IntersectionObserver((seen) => seen.some((s) => s.isIntersecting) && loadMore(), { rootMargin: "800px" });
    observer.observe(end.current);
    return () => observer.disconnect();
  }, [more, loading, loadMore]);
  // Whoever goes on in the large view comes to what is not loaded yet.
  useEffect(() => {
    if (shown !== null && shown >= items.length - 5) loadMore();
  }, [shown, items.length, loadMore]);

  if (list.error && !items.length) return <Unavailable error={list.error} what={t("stills.absent")} onRetry={list.reload} />;
  if (!items.length) return loading ? <div className="center"><Spinner /></div> : <None><NewestDay camera={camera} day={day} onDay={onDay} /></None>;
  return (
    <>
      <p className="row stills-count">
        <span className="muted grow" role="status">{more ? t("stills.count_more", { n: items.length }) : t("stills.count", { n: items.length })}</span>
        <Button kind="ghost" size="small" icon={<RotateCw size={14} />} busy={loading} onClick={list.reload}>{t("stills.again")}</Button>
      </p>
      {hours.map((hour) => (
        <section key={hour.start} className="stills-hour">
          <h2>{dateFormat({ hour: "2-digit", minute: "2-digit" }).format(new Date(hour.start))}</h2>
          <ul className="stills-grid">
            {hour.stills.map(({ still, n }) => (
              <li key={still.at}>
                <button type="button" className="still" aria-label={t("stills.show", { camera: name, time: clock(still.at) })} onClick={() => setShown(n)}>
                  <Picture src={stillUrl(camera, still, WIDTH)} />
                  <time dateTime={still.at} aria-hidden>{clock(still.at)}</time>
                </button>
              </li>
            ))}
          </ul>
        </section>
      ))}
      <div ref={end} className="happening-end">{loading ? <Spinner /> : more && <Button size="small" onClick={loadMore}>{t("common.more")}</Button>}</div>
      {list.error && <ErrorNote error={list.error} onRetry={loadMore} />}
      {shown !== null && items[shown] && <Viewer camera={camera} name={name} stills={items} at={shown} onAt={setShown} onClose={() => setShown(null)} />}
    </>
  );
}

function Picture({ src }: { src: string }) {
  const [gone, setGone] = useState(false);
  return gone ? <span className="still-gone"><Images size={18} aria-hidden /></span> : <img src={src} alt="" width={320} height={180} loading="lazy" decoding="async" onError={() => setGone(true)} />;
}

/** Offers the day of the newest still, where the one that is shown has none. */
function NewestDay({ camera, day, onDay }: { camera: string; day: string; onDay(day: string): void }) {
  const t = useT();
  const list = usePages<Still>(`newest still ${camera}`, async (_, signal) => {
    const page = await ask<{ stills: Still[] }>(`/cameras/${encodeURIComponent(camera)}/stills`, { signal, query: { order: "desc", limit: 1 } });
    return { items: page.stills, next: null };
  });
  const newest = list.items[0] && dateText(new Date(list.items[0].at));
  if (!newest || newest === day) return null;
  return <p><Button onClick={() => onDay(newest)}>{t("stills.to_newest")}</Button></p>;
}
