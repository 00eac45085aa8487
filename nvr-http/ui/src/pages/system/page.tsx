import { CircleCheck, Play, RotateCw, ScrollText, Square, TriangleAlert } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import { ask, post, request } from "~/api/client";
import { type Storage } from "~/api/manage";
import { useQuery } from "~/api/query";
import { useMay } from "~/api/session";
import type { Camera, Health } from "~/api/types";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Lines, Figure, Spark } from "~/components/chart";
import { Card, PageHead, StateBadge } from "~/components/misc";
import { Table } from "~/components/table";
import { toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { at } from "~/lib/base";
import { causeLine } from "~/lib/cause";
import { ago, bitRate, bytes, clock, duration, moment, number, percent } from "~/lib/format";
import { store, useStore } from "~/lib/store";
import { Backup } from "./backup";
import { Events } from "./events";
import { Logs } from "./logs";
import { Rtsp } from "./rtsp";
import { type Machine, type Rates, rates, readMachine } from "./read";

interface Sample {
  at: number;
  process: number | null;
  machine: number | null;
  memory: number | null;
  load: number | null;
  bits: number | null;
}

/** The last ten minutes, kept while the page is open, whichever of its pages is shown. */
const samples = store<Sample[]>([]);
const EVERY = 3000;
const MOST = 200;

export default function SystemPage() {
  const t = useT();
  const admin = useMay("admin");
  // It is asked at its own address, outside of the API.
  const health = useQuery("health", async (signal) => {
    const answer = await fetch(at("/health"), { signal });
    if (!answer.ok) return ((await request("/cameras", { signal })), null);
    // Once the login is over there are only counts in it.
    return { problems: [], ...(await answer.json()) } as Health;
  }, { every: 5000, on: ["camera_state", "storage_fault", "storage_recovered", "storage_hangs", "storage_answers"] });
  const system = useQuery("system", async (signal) => readMachine(await ask<unknown>("/system", { signal })), { every: EVERY });
  const storage = useQuery("storage", (signal) => ask<Storage>("/storage", { signal }), { every: 30_000 });
  const cameras = useQuery("system cameras", async (signal) => ({ at: Date.now(), list: await ask<Camera[]>("/cameras", { signal }) }), { every: EVERY });
  const before = useRef<{ at: number; list: Camera[] } | null>(null);
  const [flow, setFlow] = useState<Map<string, Rates>>(new Map());

  useEffect(() => {
    const now = cameras.data;
    if (!now || now === before.current) return;
    const old = before.current;
    before.current = now;
    if (!old) return;
    const fresh = new Map<string, Rates>();
    for (const c of now.list) {
      const then = old.list.find((o) => o.id === c.id);
      const rate = then && rates(then, c, (now.at - old.at) / 1000);
      if (rate) fresh.set(c.id, rate);
    }
    setFlow(fresh);
    const m = system.data;
    const bits = [...fresh.values()].reduce((sum, r) => sum + r.bits, 0);
    samples.set((all) => [...all, { at: now.at, process: m?.cpu.process ?? null, machine: m?.cpu.machine ?? null, memory: m?.memory.process ?? null, load: m?.load[0] ?? null, bits }].slice(-MOST));
  }, [cameras.data, system.data]);

  const h = health.data;
  return (
    <>
      <PageHead title={t("common.nav_system")} />
      <div className="stack">
        {h && (
          <Card className={h.problems.length ? "health health-bad" : "health"}>
            <div className="health-head">
              {h.problems.length ? <TriangleAlert size={18} aria-hidden /> : <CircleCheck size={18} aria-hidden />}
              <b>{h.problems.length ? t("system.problems", { n: h.problems.length }) : t("system.healthy")}</b>
              <span className="muted">nvr {h.version} · {t("system.up", { time: duration(Math.max(0, Math.round((Date.now() - Date.parse(h.started)) / 1000))) })}</span>
            </div>
            {h.problems.length > 0 && (
              <ul className="health-list">
                {h.problems.map((p, n) => (
                  <li key={n}>{p.camera && <b>{cameras.data?.list.find((c) => c.id === p.camera)?.name ?? p.camera}: </b>}{causeLine(t, p.cause)} <span className="muted">({t("system.since", { time: moment(p.since) })})</span></li>
                ))}
              </ul>
            )}
          </Card>
        )}
        <MachineTiles machine={system.data} storage={storage.data} />
        {system.error && !system.data && <Card title={t("system.machine")}><Unavailable error={system.error} what={t("system.machine_absent")} onRetry={() => void system.reload()} /></Card>}
        <History measured={!!system.data} />
        <Pipelines cameras={cameras.data?.list ?? []} flow={flow} machine={system.data} onChanged={() => void cameras.reload()} />
        <Rtsp cameras={cameras.data?.list ?? []} />
        <div className={admin ? "halves halves-tall" : "stack"}>
          <Events />
          {admin && <Logs />}
        </div>
        {admin && <Backup />}
        {system.data && system.data.versions.length > 1 && (
          <Card title={t("system.versions")}>
            <dl className="facts card-text">{system.data.versions.map(([name, text]) => <div key={name}><dt>{name}</dt><dd>{text}</dd></div>)}</dl>
          </Card>
        )}
      </div>
    </>
  );
}

const share = (n: number | null) => (n === null ? "–" : percent(n / 100));

function MachineTiles({ machine: m, storage }: { machine: Machine | undefined; storage: Storage | undefined }) {
  const t = useT();
  const all = useStore(samples);
  const latest = all.at(-1);
  const tiles: { label: string; value: string; note: string; values: (number | null)[]; max?: number }[] = [];
  if (m) {
    tiles.push(
      { label: t("system.cpu"), value: share(m.cpu.process), note: t("system.of_machine", { share: share(m.cpu.machine), cores: m.cpu.cores ?? "?" }), values: all.map((s) => s.process), max: 25 },
      { label: t("system.memory"), value: m.memory.process === null ? "–" : bytes(m.memory.process), note: m.memory.used !== null && m.memory.total !== null ? t("system.of", { part: bytes(m.memory.used), whole: bytes(m.memory.total) }) : "", values: all.map((s) => s.memory) },
      { label: t("system.load"), value: m.load[0] === undefined ? "–" : number(m.load[0], 2), note: m.load.slice(1).map((l) => number(l, 2)).join(" · "), values: all.map((s) => s.load), max: m.cpu.cores ?? 1 },
    );
  }
  tiles.push({ label: t("system.incoming"), value: latest?.bits == null ? "–" : bitRate(latest.bits), note: t("system.incoming_note"), values: all.map((s) => s.bits) });
  if (storage) tiles.push({ label: t("storage.disk"), value: bytes(storage.disk_available_bytes), note: t("system.free_of", { size: bytes(storage.disk_total_bytes) }), values: [] });
  return (
    <div className="stats">
      {tiles.map((tile) => (
        <div key={tile.label} className="card stat">
          <div className="stat-box">
            <span className="stat-label">{tile.label}</span>
            <span className="stat-row">
              <span className="stat-value">{tile.value}</span>
              {tile.values.length > 1 && <Spark values={tile.values} max={tile.max ?? 0} width={80} />}
            </span>
            <span className="stat-note">{tile.note}</span>
          </div>
        </div>
      ))}
    </div>
  );
}

function History({ measured }: { measured: boolean }) {
  const t = useT();
  const all = useStore(samples);
  if (all.length < 3) return null;
  const labels = all.map((s) => clock(s.at));
  const rate = [{ key: "bits", label: t("system.incoming"), colour: "var(--c1)", values: all.map((s) => s.bits) }];
  const cpu = [
    { key: "process", label: t("system.recorder"), colour: "var(--c1)", values: all.map((s) => s.process) },
    { key: "machine", label: t("system.machine"), colour: "var(--c2)", values: all.map((s) => s.machine) },
  ];
  return (
    <div className="halves">
      {measured && <Figure title={t("system.cpu")} head={t("system.time")} labels={labels} series={cpu} format={(v) => share(v)}><Lines title={t("system.cpu")} labels={labels} series={cpu} format={(v) => share(v)} max={20} /></Figure>}
      <Figure title={t("system.incoming")} head={t("system.time")} labels={labels} series={rate} format={bitRate}><Lines title={t("system.incoming")} labels={labels} series={rate} format={bitRate} /></Figure>
    </div>
  );
}

function Pipelines({ cameras, flow, machine, onChanged }: { cameras: Camera[]; flow: Map<string, Rates>; machine: Machine | undefined; onChanged(): void }) {
  const t = useT();
  const operator = useMay("operator");
  const admin = useMay("admin");
  const [, go] = useLocation();
  const order = (id: string, what: string) => post(`/cameras/${id}/${what}`).then(onChanged, toastError);
  const of = (c: Camera, key: string) => machine?.pipelines.get(c.id)?.[key];
  return (
    <Card title={t("system.pipelines")}>
      <Table
        caption={t("system.pipelines")}
        rows={cameras}
        rowKey={(c) => c.id}
        empty={<p className="card-text muted">{t("common.nothing")}</p>}
        columns={[
          { key: "name", label: t("common.camera"), sort: (c) => c.name, cell: (c) => <div className="two-lines"><b>{c.name}</b><span className="muted ellipsis" title={c.source}>{c.source}</span></div> },
          { key: "state", label: t("jobs.state"), sort: (c) => c.state, cell: (c) => <div className="two-lines"><StateBadge state={c.state} />{c.state !== "recording" && <span className="muted" title={causeLine(t, c.cause)}>{causeLine(t, c.cause)}{c.next_try && ` · ${ago(c.next_try)}`}</span>}</div> },
          { key: "ingest", label: t("system.client"), wideOnly: true, cell: (c) => <span title={c.ingest?.reason ?? undefined}>{c.ingest?.client ?? "–"}</span> },
          { key: "video", label: t("recordings.video"), wideOnly: true, cell: (c) => (c.tracks ? `${c.tracks.video.codec === "h265" ? "H.265" : "H.264"} ${c.tracks.video.width}×${c.tracks.video.height}` : "–") },
          { key: "fps", label: t("system.fps"), align: "end", sort: (c) => flow.get(c.id)?.frames ?? -1, cell: (c) => { const f = flow.get(c.id); return f ? number(f.frames, 1) : "–"; } },
          { key: "rate", label: t("recordings.rate"), align: "end", sort: (c) => flow.get(c.id)?.bits ?? -1, cell: (c) => { const f = flow.get(c.id); return f ? bitRate(f.bits) : "–"; } },
          { key: "dropped", label: t("system.dropped"), align: "end", sort: (c) => c.counters.frames_dropped, cell: (c) => <span className={c.counters.frames_dropped ? "tone-warn" : ""}>{number(c.counters.frames_dropped)}</span> },
          { key: "restarts", label: t("system.restarts"), align: "end", wideOnly: true, sort: (c) => c.counters.restarts, cell: (c) => number(c.counters.restarts) },
          ...(machine?.pipelines.size ? [{ key: "waits", label: t("system.waiting"), align: "end" as const, wideOnly: true, cell: (c: Camera) => (typeof of(c, "waiting_bytes") === "number" ? bytes(of(c, "waiting_bytes") as number) : "–") }] : []),
          ...(operator
            ? [{
                key: "do",
                label: <span className="hidden">{t("recordings.actions")}</span>,
                align: "end" as const,
                cell: (c: Camera) => (
                  <span className="row nowrap end-row">
                    {c.state === "stopped" ? (
                      <Button kind="ghost" size="small" icon={<Play size={14} />} label={t("system.start", { camera: c.name })} onClick={() => void order(c.id, "start")} />
                    ) : (
                      <Button kind="ghost" size="small" icon={<Square size={13} />} label={t("system.stop", { camera: c.name })} onClick={() => void order(c.id, "stop")} />
                    )}
                    <Button kind="ghost" size="small" icon={<RotateCw size={14} />} label={t("system.restart", { camera: c.name })} onClick={() => void order(c.id, "restart")} />
                    {admin && <Button kind="ghost" size="small" icon={<ScrollText size={14} />} label={t("system.log_of", { camera: c.name })} onClick={() => go(`/system?log=${c.id}`)} />}
                  </span>
                ),
              }]
            : []),
        ]}
      />
    </Card>
  );
}
