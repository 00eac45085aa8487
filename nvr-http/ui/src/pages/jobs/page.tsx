import { ChevronDown, ChevronRight, Download, ListTodo, Play, Plus, RotateCcw, X } from "lucide-react";
import { Fragment, useEffect, useState } from "react";
import { useCameras } from "~/api/cameras";
import { ask, post, url } from "~/api/client";
import { reconnected, useEvents } from "~/api/events";
import type { JobKind, Target } from "~/api/manage";
import { useQuery } from "~/api/query";
import { useLimited, useMay } from "~/api/session";
import type { Job } from "~/api/types";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Select } from "~/components/field";
import { Menu } from "~/components/menu";
import { Badge, Empty, PageHead, Progress, Spinner } from "~/components/misc";
import { Segmented } from "~/components/tabs";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { anyTime } from "~/lib/days";
import { ago, bytes, duration, moment, percent } from "~/lib/format";
import { named } from "~/lib/named";
import { usePages } from "~/lib/pages";
import { useCameraNames } from "../users/access";
import { NewJob, WISHES, type Wish } from "./new";
import { detailOf, isOver, readable, timeLeft, withNews } from "./news";

const STATES = { all: null, active: "queued,running", done: "done", failed: "failed", cancelled: "cancelled" } as const;
type StateFilter = keyof typeof STATES;
const TONES = { queued: "none", running: "accent", done: "good", failed: "bad", cancelled: "none" } as const;

export default function JobsPage() {
  const t = useT();
  const operator = useMay("operator");
  const limited = useLimited();
  const cameras = useCameras();
  const [state, setState] = useState<StateFilter>("all");
  const [kind, setKind] = useState("");
  const [camera, setCamera] = useState("");
  const [wish, setWish] = useState<Wish | null>(null);
  const kinds = useQuery("job kinds", (signal) => ask<JobKind[]>("/jobs/kinds", { signal }), { every: 10_000, on: ["job_changed"] });
  const targets = useQuery("upload targets", (signal) => ask<Target[]>("/uploads", { signal }));
  const jobs = usePages<Job>(`jobs ${state} ${kind} ${camera}`, async (cursor, signal) => {
    const page = await ask<{ jobs: Job[]; next: string | null }>("/jobs", { signal, query: { state: STATES[state], kind: kind || null, camera: camera || null, limit: 60, cursor } });
    return { items: page.jobs, next: page.next };
  });
  const { reload, change } = jobs;
  useEvents(["job_changed"], (event) => {
    const fresh = withNews(jobs.items, event);
    if (fresh) change(() => fresh);
    else reload();
  });
  useEffect(() => {
    reconnected.add(reload);
    return () => void reconnected.delete(reload);
  }, [reload]);

  const clean = async () => {
    try {
      const { forgotten } = await post<{ forgotten: number }>("/jobs/clean");
      toast(t("jobs.cleaned", { n: forgotten }));
      reload();
    } catch (e) {
      toastError(e);
    }
  };
  const any = jobs.items.some(isOver);
  return (
    <>
      <PageHead title={t("common.nav_jobs")}>
        {operator && any && <Button kind="ghost" onClick={() => void clean()}>{t("jobs.clean")}</Button>}
        {operator && <Menu button={{ kind: "primary", icon: <Plus size={15} />, children: t("jobs.new") }} items={WISHES.filter((one) => one !== "merge" || !limited).map((one) => ({ label: t(`jobs.new_${one}`), onSelect: () => setWish(one) }))} />}
      </PageHead>
      {kinds.data && (
        <ul className="stats stats-row" tabIndex={-1}>
          {kinds.data.map((k) => <KindTile key={k.kind} kind={k} chosen={kind === k.kind} onChoose={() => setKind(kind === k.kind ? "" : k.kind)} />)}
        </ul>
      )}
      <div className="filters">
        <Segmented<StateFilter> label={t("jobs.state")} value={state} onChange={setState} options={(Object.keys(STATES) as StateFilter[]).map((key) => ({ key, label: t(`jobs.filter_${key}`) }))} />
        <Select label={t("common.camera")} hideLabel value={camera} onChange={(e) => setCamera(e.target.value)}>
          <option value="">{t("common.all_cameras")}</option>
          {cameras.data?.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
        </Select>
      </div>
      {jobs.error && !jobs.items.length ? (
        <Unavailable error={jobs.error} what={t("jobs.absent")} onRetry={reload} />
      ) : jobs.items.length ? (
        <div className="card">
          <ul className="jobs" aria-label={t("common.nav_jobs")}>
            {jobs.items.map((job) => <JobRow key={job.id} job={job} camera={cameras.data?.find((c) => c.id === job.camera)?.name ?? job.camera} order={operator} onChanged={reload} />)}
          </ul>
          {jobs.more && <div className="list-more"><Button busy={jobs.loading} onClick={jobs.loadMore}>{t("common.more")}</Button></div>}
        </div>
      ) : jobs.loading ? (
        <div className="center"><Spinner /></div>
      ) : (
        <div className="card"><Empty icon={<ListTodo size={24} strokeWidth={1.5} aria-hidden />} title={t("jobs.none")}><p>{t("jobs.none_text")}</p></Empty></div>
      )}
      {wish && <NewJob wish={wish} kinds={kinds.data ?? []} targets={targets.data ?? []} onClose={() => setWish(null)} onDone={() => { setWish(null); reload(); void kinds.reload(); }} />}
    </>
  );
}

function KindTile({ kind: k, chosen, onChoose }: { kind: JobKind; chosen: boolean; onChoose(): void }) {
  const t = useT();
  const state = !k.enabled ? t("jobs.kind_off") : k.yielding ? t("jobs.kind_yielding") : !k.open ? t("jobs.kind_closed", { time: k.changes ? moment(k.changes) : "–" }) : null;
  return (
    <li className="card stat" data-off={!k.enabled || undefined}>
      <button type="button" className="stat-button" aria-pressed={chosen} onClick={onChoose}>
        <span className="stat-label">{kindName(t, k.kind)}</span>
        <span className="stat-value">{k.running}<small> / {k.max_running}</small></span>
        <span className="stat-note">
          {t("jobs.kind_queued", { n: k.queued })}{k.queued_bytes > 0 && ` · ${bytes(k.queued_bytes)}`}
          {k.failed > 0 && <span className="tone-bad"> · {t("jobs.kind_failed", { n: k.failed })}</span>}
        </span>
        <span className={`stat-note ${state && k.enabled ? "tone-warn" : ""}`}>{state ?? (k.windows === "always" ? t("jobs.always") : k.windows)}</span>
      </button>
    </li>
  );
}

const KNOWN = ["export", "merge", "timelapse", "verify", "transcode", "upload", "restore", "fill"] as const;
/** Kinds that make a file to be had from the job. */
const MAKES_FILE = ["export", "merge", "timelapse"];
function kindName(t: ReturnType<typeof useT>, kind: string): string {
  const known = KNOWN.find((k) => k === kind);
  return known ? t(`jobs.kind_${known}`) : kind;
}

function JobRow({ job, camera, order, onChanged }: { job: Job; camera: string | null | undefined; order: boolean; onChanged(): void }) {
  const t = useT();
  const [open, setOpen] = useState(false);
  const [playing, setPlaying] = useState(false);
  const names = useCameraNames();
  const operator = useMay("operator");
  const hasFile = MAKES_FILE.includes(job.kind) && job.state === "done" && typeof job.result?.["file"] === "string";
  const tell = (path: string) => post(path).then(onChanged, toastError);
  const { data: cameras } = useCameras();
  const told = (words: string) => readable(named(words, cameras));
  const left = timeLeft(job);
  const [from, to] = [anyTime(job.params["from"]), anyTime(job.params["to"])];
  const name = `${kindName(t, job.kind)} ${job.id}`;
  const members = Array.isArray(job.params["cameras"]) ? names(job.params["cameras"] as string[]) : null;
  return (
    <li className="job">
      <div className="job-head">
        <Button kind="ghost" size="small" icon={open ? <ChevronDown size={15} /> : <ChevronRight size={15} />} label={t("jobs.details", { job: name })} aria-expanded={open} onClick={() => setOpen(!open)} />
        <div className="job-what">
          <span className="job-title"><b>{kindName(t, job.kind)}</b><span className="muted">#{job.id}</span>{typeof job.params["daily"] === "string" && <Badge>{t("jobs.daily", { name: job.params["daily"] })}</Badge>}{(camera ?? members) && <span className="ellipsis">{camera ?? members}</span>}</span>
          {from && to && <span className="muted job-range">{moment(from)} – {moment(to)}</span>}
        </div>
        <div className="job-state">
          <Badge tone={TONES[job.state]} dot>{t(`jobs.state_${job.state}`)}</Badge>
          <span className="muted job-when">{ago(job.ended ?? job.started ?? job.created)}</span>
        </div>
        <div className="job-actions">
          {hasFile && operator && <Button size="small" icon={<Play size={14} />} onClick={() => setPlaying(true)}>{t("jobs.play")}</Button>}
          {hasFile && <a className="button button-plain button-small" href={url(`/jobs/${job.id}/file`)} download><Download size={14} /><span>{t("common.download")}</span></a>}
          {order && !isOver(job) && <Button size="small" icon={<X size={14} />} onClick={() => void tell(`/jobs/${job.id}/cancel`)}>{t("common.cancel")}</Button>}
          {order && (job.state === "failed" || job.state === "cancelled" || (job.state === "queued" && job.error)) && <Button size="small" icon={<RotateCcw size={14} />} onClick={() => void tell(`/jobs/${job.id}/retry`)}>{t("common.retry")}</Button>}
        </div>
      </div>
      {job.state === "running" && (
        <div className="job-progress">
          <Progress value={job.progress} label={name} />
          <span className="muted">{percent(job.progress)}{left !== null && ` · ${t("jobs.left", { time: duration(left) })}`}</span>
        </div>
      )}
      {(job.error && job.state !== "done") ? <p className="job-text tone-bad">{told(job.error)}</p> : job.message && <p className="job-text muted">{told(job.message)}</p>}
      {playing && (
        <Dialog title={name} wide onClose={() => setPlaying(false)}>
          <video className="job-video" src={url(`/jobs/${job.id}/file`)} controls autoPlay muted playsInline onError={() => toast(t("jobs.not_playable"))} />
        </Dialog>
      )}
      {open && (
        <dl className="facts job-facts">
          {(
            [
              [t("jobs.created"), moment(job.created)],
              [t("jobs.started"), job.started ? moment(job.started) : "–"],
              [t("jobs.ended"), job.ended ? moment(job.ended) : "–"],
              ...(job.state === "queued" && Date.parse(job.not_before) > Date.now() ? [[t("jobs.not_before"), moment(job.not_before)]] : []),
              [t("jobs.attempts"), String(job.attempts)],
              [t("jobs.priority"), String(job.priority)],
              ...(job.input_bytes ? [[t("jobs.input"), bytes(job.input_bytes)]] : []),
              [t("jobs.anytime_fact"), job.anytime ? t("common.yes") : t("common.no")],
              ...(job.error ? [[t("jobs.error"), told(job.error)]] : []),
              [t("jobs.params"), <code key="p">{detailOf(job.params)}</code>],
              ...(job.result ? [[t("jobs.result"), <code key="r">{detailOf(job.result)}</code>]] : []),
            ] as [string, React.ReactNode][]
          ).map(([label, value]) => (
            <Fragment key={label}><div><dt>{label}</dt><dd>{value}</dd></div></Fragment>
          ))}
        </dl>
      )}
    </li>
  );
}
