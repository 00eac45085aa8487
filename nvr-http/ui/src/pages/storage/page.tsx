import { BrushCleaning, HardDrive, HardDriveDownload } from "lucide-react";
import { useMemo, useState } from "react";
import { useCameras } from "~/api/cameras";
import { ask, post } from "~/api/client";
import type { CameraStorage, Day, Storage, Tier, Transcoding } from "~/api/manage";
import { useQuery } from "~/api/query";
import { useMay } from "~/api/session";
import type { TimelineAnswer } from "~/api/types";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Bars, Figure, type Series, Whole, colour } from "~/components/chart";
import { Badge, Card, ErrorNote, PageHead, Spinner } from "~/components/misc";
import { Table } from "~/components/table";
import { Segmented } from "~/components/tabs";
import { toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { lastDays } from "~/lib/days";
import { bitRate, bytes, dateFormat, day, duration, moment, number, percent } from "~/lib/format";
import { CleanupDialog } from "./cleanup";
import { diskParts, hereOf, meanRate } from "./sums";
import { Uploads } from "./uploads";

export default function StoragePage() {
  const t = useT();
  const admin = useMay("admin");
  const cameras = useCameras();
  const [cleaning, setCleaning] = useState(false);
  const storage = useQuery("storage", (signal) => ask<Storage>("/storage", { signal }), { every: 15_000, on: ["footage_deleted", "space_low", "space_recovered"] });
  const names = useMemo(() => new Map(cameras.data?.map((c) => [c.id, c.name]) ?? []), [cameras.data]);
  const s = storage.data;
  if (!s) return <><PageHead title={t("common.nav_storage")} />{storage.error ? <ErrorNote error={storage.error} onRetry={() => void storage.reload()} /> : <div className="center"><Spinner /></div>}</>;
  const disk = diskParts(s, s.cameras.reduce((sum, c) => sum + hereOf(c), 0));
  const name = (id: string) => names.get(id) ?? id;
  const low = s.disk_available_bytes < s.disk_min_free_bytes;
  return (
    <>
      <PageHead title={t("common.nav_storage")}>{admin && <Button icon={<BrushCleaning size={15} />} onClick={() => setCleaning(true)}>{t("storage.cleanup")}</Button>}</PageHead>
      <div className="stack">
        <Card title={<span className="row"><HardDrive size={15} aria-hidden />{t("storage.disk")}</span>} tools={low ? <Badge tone="warn" dot>{t("storage.low")}</Badge> : undefined}>
          <div className="disk">
            <div className="disk-figures">
              <Fact label={t("storage.footage")} value={bytes(disk.footage)} />
              <Fact label={t("storage.available")} value={bytes(s.disk_available_bytes)} note={percent(s.disk_total_bytes ? s.disk_available_bytes / s.disk_total_bytes : 0)} />
              <Fact label={t("storage.rate")} value={t("storage.per_day", { size: bytes(s.bytes_per_hour * 24) })} note={bitRate((s.bytes_per_hour * 8) / 3600)} />
              <Fact label={t("storage.days_left")} value={s.days_left === null ? "–" : s.days_left > 3650 ? t("storage.years") : duration(Math.round(s.days_left * 24) * 3600)} note={t("storage.days_left_note")} />
            </div>
            <Whole
              label={t("storage.disk")}
              format={bytes}
              mark={{ at: disk.markAt, label: t("storage.min_free", { size: bytes(s.disk_min_free_bytes) }) }}
              parts={[
                ...s.cameras.map((c, n) => ({ key: c.camera, label: name(c.camera), value: hereOf(c), colour: colour(n) })),
                { key: "other", label: t("storage.other"), value: disk.other, colour: "var(--rest)" },
                { key: "free", label: t("storage.free"), value: disk.free, colour: "var(--free)" },
                { key: "reserve", label: t("storage.reserve"), value: disk.reserve, colour: "var(--line-strong)" },
              ]}
            />
          </div>
        </Card>
        {s.tier && <SecondDisk tier={s.tier} cameras={s.cameras} name={name} />}
        <Card title={t("common.cameras")}><CameraTable rows={s.cameras} name={name} second={!!s.tier} /></Card>
        <Daily cameras={s.cameras.map((c) => c.camera)} name={name} />
        <div className="halves">
          <Uploads />
          <Encoding name={name} />
        </div>
      </div>
      {cleaning && <CleanupDialog names={names} onClose={() => setCleaning(false)} onDone={() => { setCleaning(false); void storage.reload(); }} />}
    </>
  );
}

function Fact({ label, value, note }: { label: string; value: string; note?: string }) {
  return (
    <div>
      <p className="stat-label">{label}</p>
      <p className="stat-value">{value}</p>
      {note && <p className="stat-note">{note}</p>}
    </div>
  );
}

/** Where old footage moves to. */
function SecondDisk({ tier, cameras, name }: { tier: Tier; cameras: CameraStorage[]; name(id: string): string }) {
  const t = useT();
  const disk = diskParts(tier, tier.size_bytes);
  const low = tier.reachable && tier.disk_available_bytes < tier.disk_min_free_bytes;
  return (
    <Card title={<span className="row"><HardDriveDownload size={15} aria-hidden />{t("storage.second")}</span>} tools={!tier.reachable ? <Badge tone="bad" dot>{t("storage.second_away")}</Badge> : low ? <Badge tone="warn" dot>{t("storage.low")}</Badge> : undefined}>
      <div className="disk">
        <p className="muted">{t(tier.reachable ? "storage.second_text" : "storage.second_away_text", { root: tier.root })}</p>
        <div className="disk-figures">
          <Fact label={t("storage.footage")} value={bytes(tier.size_bytes)} />
          <Fact label={t("storage.files")} value={number(tier.segments)} />
          {tier.reachable && <Fact label={t("storage.available")} value={bytes(tier.disk_available_bytes)} note={percent(tier.disk_total_bytes ? tier.disk_available_bytes / tier.disk_total_bytes : 0)} />}
        </div>
        {tier.reachable && (
          <Whole
            label={t("storage.second")}
            format={bytes}
            mark={{ at: disk.markAt, label: t("storage.min_free", { size: bytes(tier.disk_min_free_bytes) }) }}
            parts={[
              ...cameras.map((c, n) => ({ key: c.camera, label: name(c.camera), value: c.tier_bytes ?? 0, colour: colour(n) })),
              { key: "other", label: t("storage.other"), value: disk.other, colour: "var(--rest)" },
              { key: "free", label: t("storage.free"), value: disk.free, colour: "var(--free)" },
              { key: "reserve", label: t("storage.reserve"), value: disk.reserve, colour: "var(--line-strong)" },
            ]}
          />
        )}
      </div>
    </Card>
  );
}

function CameraTable({ rows, name, second }: { rows: CameraStorage[]; name(id: string): string; second: boolean }) {
  const t = useT();
  const most = Math.max(1, ...rows.map((c) => c.size_bytes));
  return (
    <Table
      caption={t("storage.by_camera")}
      rows={rows}
      rowKey={(c) => c.camera}
      empty={<p className="card-text muted">{t("storage.nothing")}</p>}
      columns={[
        { key: "camera", label: t("common.camera"), sort: (c) => name(c.camera), cell: (c) => <span className="row nowrap"><i className="swatch" style={{ background: colour(rows.indexOf(c)) }} />{name(c.camera)}</span> },
        { key: "size", label: t("storage.size"), align: "end", sort: (c) => c.size_bytes, cell: (c) => <span className="with-meter"><span className="meter" aria-hidden><i style={{ width: `${(c.size_bytes / most) * 100}%` }} /></span>{bytes(c.size_bytes)}</span> },
        ...(second ? [{ key: "second", label: t("storage.of_that_second"), align: "end" as const, wideOnly: true, sort: (c: CameraStorage) => c.tier_bytes ?? 0, cell: (c: CameraStorage) => bytes(c.tier_bytes ?? 0) }] : []),
        { key: "hours", label: t("storage.recorded"), align: "end", sort: (c) => c.recorded_seconds, cell: (c) => duration(c.recorded_seconds) },
        { key: "rate", label: t("recordings.rate"), align: "end", sort: meanRate, cell: (c) => bitRate(meanRate(c)) },
        { key: "day", label: t("storage.rate"), align: "end", wideOnly: true, sort: (c) => c.bytes_per_hour, cell: (c) => t("storage.per_day", { size: bytes(c.bytes_per_hour * 24) }) },
        { key: "oldest", label: t("storage.oldest"), align: "end", wideOnly: true, sort: (c) => c.oldest ?? "", cell: (c) => (c.oldest ? moment(c.oldest) : "–") },
        { key: "files", label: t("storage.files"), align: "end", wideOnly: true, sort: (c) => c.segments, cell: (c) => number(c.segments) },
        { key: "left", label: t("storage.left"), align: "end", sort: (c) => c.days_left ?? Infinity, cell: (c) => (c.days_left === null ? "–" : c.days_left > 3650 ? t("storage.years") : t("storage.days", { n: Math.round(c.days_left * 10) / 10 })) },
      ]}
    />
  );
}

const DAYS = 30;

/** Hours or bytes recorded on each of the last days. */
function Daily({ cameras, name }: { cameras: string[]; name(id: string): string }) {
  const t = useT();
  const [what, setWhat] = useState<"hours" | "bytes">("hours");
  const days = useMemo(() => lastDays(DAYS), []);
  const tz = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const from = days[0]?.from.toISOString() ?? "";
  const to = days.at(-1)?.to.toISOString() ?? "";
  const hours = useQuery(what === "hours" ? `days ${cameras.join()} ${from}` : null, async (signal) => Object.fromEntries(await Promise.all(cameras.map(async (c) => [c, await ask<Day[]>(`/cameras/${c}/days`, { signal, query: { tz, from, to } })] as const))), { every: 120_000 });
  const sizes = useQuery(what === "bytes" ? `day bytes ${cameras.join()} ${from}` : null, async (signal) => {
    const all: Record<string, number[]> = Object.fromEntries(cameras.map((c) => [c, []]));
    for (const one of days) {
      // Totals are exact whatever the resolution; a day as one point keeps the answers small.
      const answers = await ask<TimelineAnswer[]>("/timeline", { signal, query: { cameras: cameras.join(","), from: one.from.toISOString(), to: one.to.toISOString(), resolution: 86_400 } });
      for (const answer of answers) all[answer.camera]?.push(answer.totals.bytes);
    }
    return all;
  }, { every: 300_000 });
  if (!cameras.length) return null;
  const query = what === "hours" ? hours : sizes;
  const series: Series[] = cameras.map((c, n) => ({
    key: c,
    label: name(c),
    colour: colour(n),
    values: days.map((d, i) => (what === "hours" ? (hours.data?.[c]?.find((x) => x.date === d.date)?.recorded_seconds ?? 0) / 3600 : (sizes.data?.[c]?.[i] ?? 0))),
  }));
  const format = what === "hours" ? (v: number) => t("storage.hours", { n: number(v, v < 10 ? 1 : 0) }) : bytes;
  return (
    <Figure title={t("storage.daily")} head={t("recordings.day")} series={series} labels={days.map((d) => day(d.from))} format={format} tools={<Segmented<"hours" | "bytes"> label={t("storage.unit")} value={what} onChange={setWhat} options={[{ key: "hours", label: t("storage.unit_hours") }, { key: "bytes", label: t("storage.unit_bytes") }]} />}>
      {query.error && !query.data ? <ErrorNote error={query.error} onRetry={() => void query.reload()} /> : <Bars title={t("storage.daily")} series={series} labels={days.map((d) => day(d.from))} shown={days.map((d) => dateFormat({ day: "numeric", month: "short" }).format(d.from))} format={format} {...(what === "hours" ? { unit: 24 } : {})} />}
    </Figure>
  );
}

function Encoding({ name }: { name(id: string): string }) {
  const t = useT();
  const admin = useMay("admin");
  const query = useQuery("transcoding", (signal) => ask<Transcoding>("/transcoding", { signal }), { every: 20_000, on: ["job_changed"] });
  const data = query.data;
  const turn = () => post<Transcoding>(`/transcoding/${data?.enabled ? "disable" : "enable"}`).then((now) => query.change(() => now), toastError);
  const before = data?.cameras.reduce((sum, c) => sum + c.bytes_before, 0) ?? 0;
  const after = data?.cameras.reduce((sum, c) => sum + c.bytes_after, 0) ?? 0;
  return (
    <Card title={t("storage.encoding")} tools={data && <span className="row"><Badge tone={data.enabled ? "good" : "none"} dot>{data.enabled ? t("storage.on") : t("storage.off")}</Badge>{admin && <Button size="small" onClick={() => void turn()}>{data.enabled ? t("storage.turn_off") : t("storage.turn_on")}</Button>}</span>}>
      {query.error && !data ? (
        <Unavailable error={query.error} what={t("storage.encoding_absent")} onRetry={() => void query.reload()} />
      ) : !data ? (
        <div className="center"><Spinner /></div>
      ) : (
        <>
          <p className="card-text muted">{t("storage.encoding_text")}{before > 0 && ` ${t("storage.saved", { size: bytes(before - after), share: percent(1 - after / before) })}`}</p>
          {data.cameras.length > 0 && (
            <Table
              caption={t("storage.encoding")}
              rows={data.cameras}
              rowKey={(c) => c.camera}
              columns={[
                { key: "camera", label: t("common.camera"), cell: (c) => name(c.camera) },
                { key: "n", label: t("storage.files"), align: "end", cell: (c) => number(c.segments) },
                { key: "before", label: t("storage.before"), align: "end", cell: (c) => bytes(c.bytes_before) },
                { key: "after", label: t("storage.after"), align: "end", cell: (c) => bytes(c.bytes_after) },
                { key: "ssim", label: "SSIM", align: "end", wideOnly: true, cell: (c) => (c.ssim === null ? "–" : number(c.ssim, 4)) },
              ]}
            />
          )}
        </>
      )}
    </Card>
  );
}
