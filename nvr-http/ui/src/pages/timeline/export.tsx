import { type FormEvent, useEffect, useState } from "react";
import { ask, post, url } from "~/api/client";
import { useEvents } from "~/api/events";
import { MOST_MERGED } from "~/api/merge";
import { useLimited } from "~/api/session";
import type { Camera, Job } from "~/api/types";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Checkbox, Select, TextField } from "~/components/field";
import { MergeFields, type Merging } from "~/components/merge-fields";
import { Progress } from "~/components/misc";
import { toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { bytes, duration, percent } from "~/lib/format";
import type { Band } from "./data";
import { fromLocal, toLocal } from "./times";

type What = "files" | "merge" | "timelapse";

/** Makes files of a range, one of each camera or one of all: entered as jobs, shown with their progress, downloaded when done. */
export function ExportDialog({ cameras, mark, onClose }: { cameras: Camera[]; mark: Band; onClose(): void }) {
  const t = useT();
  const [range, setRange] = useState({ from: toLocal(Math.floor(mark.start / 1000) * 1000), to: toLocal(Math.ceil(mark.end / 1000) * 1000) });
  const [chosen, setChosen] = useState(() => new Set(cameras.map((c) => c.id)));
  const [format, setFormat] = useState("mp4");
  const [what, setWhat] = useState<What>("files");
  const [merging, setMerging] = useState<Merging>({ layout: "side_by_side", sound: "" });
  const [length, setLength] = useState("60");
  // Whoever drew masks does not want to hand out what is behind them.
  const [masked, setMasked] = useState(true);
  const [jobs, setJobs] = useState<Job[]>([]);
  const [busy, setBusy] = useState(false);
  const limited = useLimited();
  const [from, to] = [fromLocal(range.from), fromLocal(range.to)];
  const wrong = !(from < to);
  const members = cameras.filter((c) => chosen.has(c.id));
  const few = what === "merge" && (members.length < 2 || members.length > MOST_MERGED);
  const over = jobs.length > 0 && jobs.every((job) => job.state !== "queued" && job.state !== "running");

  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (wrong || few) return;
    setBusy(true);
    try {
      const made: Job[] = [];
      const times = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
      if (what === "merge") {
        const sound = chosen.has(merging.sound) ? { sound: merging.sound } : {};
        made.push(await post<Job>("/jobs", { kind: "merge", params: { cameras: members.map((c) => c.id), ...times, layout: merging.layout, ...sound } }));
      } else {
        for (const camera of members) {
          const more = what === "files" ? { format, ...(masked && camera.privacy ? { masked } : {}) } : { length_s: Number(length) };
          made.push(await post<Job>("/jobs", { kind: what === "files" ? "export" : what, params: { camera: camera.id, ...times, ...more } }));
        }
      }
      setJobs(made);
      // The same was exported before: it is there at once.
      for (const job of made) if (job.state === "done") download(job);
    } catch (e) {
      toastError(e);
    }
    setBusy(false);
  };

  useJobs(jobs, setJobs);

  return (
    <Dialog
      title={t("timeline.export_title")}
      onClose={onClose}
      actions={
        jobs.length ? (
          <Button kind={over ? "primary" : "plain"} onClick={onClose}>{t("common.close")}</Button>
        ) : (
          <>
            <Button onClick={onClose}>{t("common.cancel")}</Button>
            <Button kind="primary" type="submit" form="export" busy={busy} disabled={wrong || few || !chosen.size}>{t("timeline.export_start")}</Button>
          </>
        )
      }
    >
      {jobs.length ? (
        <ul className="stack">
          {jobs.map((job) => <JobLine key={job.id} job={job} name={cameras.find((c) => c.id === job.camera)?.name ?? job.camera ?? members.map((c) => c.name).join(", ")} />)}
        </ul>
      ) : (
        <form id="export" className="stack" onSubmit={submit}>
          <div className="two">
            <TextField label={t("common.from")} type="datetime-local" step="1" required value={range.from} onChange={(e) => setRange({ ...range, from: e.target.value })} />
            <TextField label={t("common.to")} type="datetime-local" step="1" required value={range.to} onChange={(e) => setRange({ ...range, to: e.target.value })} error={wrong ? t("timeline.export_end_first") : null} hint={wrong ? null : duration((to - from) / 1000)} />
          </div>
          {cameras.length > 1 && (
            <fieldset className="fieldset">
              <legend className="field-label">{t("timeline.which")}</legend>
              {cameras.map((camera) => (
                <Checkbox
                  key={camera.id}
                  label={camera.name}
                  checked={chosen.has(camera.id)}
                  onChange={(e) => {
                    const next = new Set(chosen);
                    if (e.target.checked) next.add(camera.id);
                    else next.delete(camera.id);
                    setChosen(next);
                  }}
                />
              ))}
            </fieldset>
          )}
          {few && <p className="field-error" role="alert">{t("timeline.make_two")}</p>}
          <Select label={t("timeline.make_what")} value={what} onChange={(e) => setWhat(e.target.value as What)}>
            {(["files", "merge", "timelapse"] as const).map((one) => (one !== "merge" || (cameras.length > 1 && !limited)) && <option key={one} value={one}>{t(`timeline.make_${one}`)}</option>)}
          </Select>
          {limited && cameras.length > 1 && <p className="field-hint">{t("jobs.merge_refused")}</p>}
          {what === "merge" && <MergeFields value={merging} onChange={setMerging} cameras={members} />}
          {what === "timelapse" && <TextField label={t("timeline.make_length")} type="number" min={1} max={36000} required value={length} onChange={(e) => setLength(e.target.value)} />}
          {what === "files" && (
            <Select label={t("timeline.export_format")} value={format} onChange={(e) => setFormat(e.target.value)}>
              <option value="mp4">{t("timeline.export_mp4")}</option>
              <option value="fmp4">{t("timeline.export_fmp4")}</option>
            </Select>
          )}
          {what === "files" && members.some((c) => c.privacy) && <Checkbox label={t("zones.masked_export")} hint={t("zones.masked_export_hint")} checked={masked} onChange={(e) => setMasked(e.target.checked)} />}
        </form>
      )}
    </Dialog>
  );
}

/** Follows jobs by their events, and by asking where events do not come. */
function useJobs(jobs: Job[], setJobs: (change: (old: Job[]) => Job[]) => void): void {
  const take = async (id: number) => {
    const fresh = await ask<Job>(`/jobs/${id}`).catch(() => null);
    if (!fresh) return;
    setJobs((all) =>
      all.map((job) => {
        if (job.id !== id) return job;
        if (fresh.state === "done" && job.state !== "done") download(fresh);
        return fresh;
      }),
    );
  };
  useEvents(["job_changed"], ({ detail }) => {
    const id = Number(detail["job"]);
    const job = jobs.find((j) => j.id === id);
    if (!job || job.state === "done") return;
    if (detail["state"] === "running") setJobs((all) => all.map((j) => (j.id === id && j.state !== "done" ? { ...j, state: "running", progress: Number(detail["progress"]), message: String(detail["message"]) } : j)));
    else void take(id);
  });
  const open = jobs.filter((job) => job.state === "queued" || job.state === "running").map((job) => job.id).join(",");
  useEffect(() => {
    if (!open) return;
    const timer = setInterval(() => {
      for (const id of open.split(",")) void take(Number(id));
    }, 1500);
    return () => clearInterval(timer);
  });
}

function JobLine({ job, name }: { job: Job; name: string }) {
  const t = useT();
  const over = job.state === "done" || job.state === "failed" || job.state === "cancelled";
  const warnings = Array.isArray(job.result?.["warnings"]) ? job.result["warnings"].map(String) : [];
  const words = {
    queued: job.message || t("timeline.export_waits"),
    running: percent(job.progress),
    done: t("timeline.export_done", { size: bytes(Number(job.result?.["size_bytes"] ?? 0)) }),
    failed: t("timeline.export_failed", { why: job.error ?? job.message }),
    cancelled: t("timeline.export_cancelled"),
  }[job.state];
  return (
    <li className="stack export-line">
      <div className="row">
        <b className="grow ellipsis">{name}</b>
        <span className="muted" role="status">{words}</span>
        {job.state === "done" && <Button size="small" onClick={() => download(job)}>{t("common.download")}</Button>}
        {!over && <Button size="small" onClick={() => void post(`/jobs/${job.id}/cancel`).catch(toastError)}>{t("common.cancel")}</Button>}
      </div>
      {warnings.length > 0 && (
        <details>
          <summary>{t("timeline.make_warned", { n: warnings.length })}</summary>
          <ul>{warnings.map((one) => <li key={one}>{one}</li>)}</ul>
        </details>
      )}
      <Progress label={t("timeline.export_of", { camera: name })} value={job.state === "queued" ? null : job.state === "done" ? 1 : job.progress} />
    </li>
  );
}

function download(job: Job): void {
  const link = document.createElement("a");
  link.href = url(`/jobs/${job.id}/file`);
  link.download = String(job.result?.["file"] ?? "");
  link.click();
}
