import { Film } from "lucide-react";
import { useMemo, useState } from "react";
import { ask, post } from "~/api/client";
import { useQuery } from "~/api/query";
import type { TimelineAnswer } from "~/api/types";
import { Empty, ErrorNote, Spinner } from "~/components/misc";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { dayRange, lastDays, secondsBetween } from "~/lib/days";
import { clock, day as dayText, duration } from "~/lib/format";
import { Detail, type Shown, codecName } from "./detail";
import type { Filters } from "./filters";
import { Thumb } from "./thumb";

/** Stretches without a gap, newest first: of a day, or of the last seven. */
export function Ranges({ cameras, filters, names }: { cameras: string[]; filters: Filters; names: Map<string, string> }) {
  const t = useT();
  const [open, setOpen] = useState<string | null>(null);
  const range = useMemo(() => dayRange(filters.day) ?? { from: lastDays(7)[0]?.from ?? new Date(), to: null }, [filters.day]);
  const key = `ranges ${cameras.join()} ${filters.day}`;
  const query = useQuery(key, (signal) => ask<TimelineAnswer[]>("/timeline", { signal, query: { cameras: cameras.join(","), from: range.from.toISOString(), to: range.to?.toISOString() ?? null, resolution: 2 } }), { every: 20_000 });
  const rows = useMemo<(Shown & { codecs: string })[]>(
    () =>
      (query.data ?? [])
        .flatMap((answer) => answer.ranges.map((r) => ({ key: `${answer.camera} ${r.start}`, camera: answer.camera, start: r.start, end: r.end, growing: r.growing, segment: null, codecs: r.codecs.map(codecName).join(", ") })))
        .sort((a, b) => Date.parse(b.start) - Date.parse(a.start))
        .slice(0, 500),
    [query.data],
  );
  const shown = rows.find((r) => r.key === open) ?? null;
  if (query.error && !query.data) return <ErrorNote error={query.error} onRetry={() => void query.reload()} />;
  if (!query.data) return <div className="center"><Spinner /></div>;
  if (!rows.length) return <Empty icon={<Film size={24} strokeWidth={1.5} aria-hidden />} title={t("recordings.none")}><p>{t("recordings.none_text")}</p></Empty>;
  return (
    <div className={shown ? "with-detail" : "without-detail"}>
      <div className="card list-card">
        <div className="list-head muted">{filters.day ? t("recordings.shown", { n: rows.length }) : t("recordings.last_week")}</div>
        <div className="list-scroll">
          <ul>
            {rows.map((r) => {
              const name = names.get(r.camera) ?? r.camera;
              return (
                <li key={r.key} className="seg seg-flow" data-open={r.key === open || undefined}>
                  <button type="button" className="seg-main" aria-label={t("recordings.open", { camera: name, time: clock(r.start) })} aria-pressed={r.key === open} onClick={() => setOpen(r.key === open ? null : r.key)}>
                    <Thumb camera={r.camera} at={r.start} />
                    <span className="seg-text">
                      <span className="seg-title"><b>{dayText(r.start)}, {clock(r.start)} – {r.growing ? "…" : clock(r.end)}</b></span>
                      <span className="seg-facts muted"><span>{name}</span><span>{duration(secondsBetween(r.start, r.end))}</span><span className="wide-only">{r.codecs}</span></span>
                    </span>
                    {r.growing && <span className="seg-tags"><span className="tag tag-bad">{t("recordings.tag_open")}</span></span>}
                  </button>
                </li>
              );
            })}
          </ul>
        </div>
      </div>
      {shown && (
        <Detail
          shown={shown}
          name={names.get(shown.camera) ?? shown.camera}
          onClose={() => setOpen(null)}
          onProtect={() => void post(`/cameras/${shown.camera}/protect`, undefined, { from: shown.start, to: shown.end }).then(() => toast(t("recordings.range_protected")), toastError)}
        />
      )}
    </div>
  );
}
