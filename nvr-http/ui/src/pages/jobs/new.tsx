import { useState } from "react";
import { useCameras } from "~/api/cameras";
import { ApiError, post, wordsOf } from "~/api/client";
import type { JobKind, Target } from "~/api/manage";
import { MOST_MERGED } from "~/api/merge";
import type { Job } from "~/api/types";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Checkbox, Select, TextField } from "~/components/field";
import { MergeFields, type Merging } from "~/components/merge-fields";
import { RangeFields, freshRange, readRange } from "~/components/range-fields";
import { toast } from "~/components/toast";
import { useT } from "~/i18n";
import { MOST_PRIORITY, priorityOf } from "./news";

export type Wish = "export" | "merge" | "timelapse" | "verify" | "transcode" | "upload" | "restore";
export const WISHES: Wish[] = ["export", "merge", "timelapse", "verify", "transcode", "upload", "restore"];

/** Asks for slow work on a stretch of footage. */
export function NewJob({ wish, kinds, targets, onClose, onDone }: { wish: Wish; kinds: JobKind[]; targets: Target[]; onClose(): void; onDone(): void }) {
  const t = useT();
  const cameras = useCameras();
  const [range, setRange] = useState(() => freshRange(cameras.data?.[0]?.id));
  const [format, setFormat] = useState("mp4");
  const [members, setMembers] = useState<Set<string>>(() => new Set(cameras.data?.map((c) => c.id)));
  const [merging, setMerging] = useState<Merging>({ layout: "side_by_side", sound: "" });
  const [length, setLength] = useState("60");
  const [source, setSource] = useState("footage");
  const [decode, setDecode] = useState(false);
  const [anytime, setAnytime] = useState(true);
  const [priority, setPriority] = useState("0");
  const [target, setTarget] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const rank = priorityOf(priority);
  // The others are entered by the recorder, which gives them theirs.
  const ranked = wish === "export" || wish === "merge" || wish === "timelapse" || wish === "verify";
  const kind = kinds.find((k) => k.kind === wish);
  const chosen = cameras.data?.filter((c) => members.has(c.id)) ?? [];
  // One file of several cameras is of none of them.
  const read = readRange(wish === "merge" ? { ...range, camera: range.camera || "-" } : range);
  const send = async () => {
    if (typeof read === "string") return setError(t(read === "camera" ? "jobs.choose_camera" : read === "time" ? "jobs.choose_time" : "jobs.order"));
    if (wish === "merge" && (chosen.length < 2 || chosen.length > MOST_MERGED)) return setError(t("timeline.make_two"));
    if (wish === "timelapse" && !(Number(length) >= 0.1 && Number(length) <= 36_000)) return setError(t("jobs.length_wrong"));
    if (ranked && rank === null) return;
    setBusy(true);
    setError(null);
    const query = { from: read.from, to: read.to };
    const order = { anytime, priority: rank };
    try {
      let text = t("jobs.entered");
      if (wish === "export") await post<Job>("/jobs", { kind: "export", params: { ...read, format }, ...order });
      else if (wish === "merge") await post<Job>("/jobs", { kind: "merge", params: { cameras: chosen.map((c) => c.id), from: read.from, to: read.to, layout: merging.layout, ...(members.has(merging.sound) ? { sound: merging.sound } : {}) }, ...order });
      else if (wish === "timelapse") await post<Job>("/jobs", { kind: "timelapse", params: { ...read, length_s: Number(length), ...(source === "footage" ? {} : { source }) }, ...order });
      else if (wish === "verify") await post<Job>("/jobs", { kind: "verify", params: { ...read, decode }, ...order });
      else if (wish === "transcode") text = t("jobs.entered_n", { n: (await post<{ jobs: number[] }>("/transcoding", read)).jobs.length });
      else if (wish === "restore") await post<Job>(`/cameras/${read.camera}/restore`, undefined, query);
      else text = t("jobs.uploads_n", { n: (await post<{ segments: number }>(`/cameras/${read.camera}/upload`, undefined, { ...query, target: target || null })).segments });
      toast(text);
      onDone();
    } catch (e) {
      setBusy(false);
      setError(e instanceof ApiError ? wordsOf(e) || t("common.offline_title") : String(e));
    }
  };
  return (
    <Dialog
      title={t(`jobs.new_${wish}`)}
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button kind="primary" busy={busy} onClick={() => void send()}>{t(`jobs.do_${wish}`)}</Button>
        </>
      }
    >
      <p className="muted">{t(`jobs.about_${wish}`)}</p>
      {wish === "upload" && !targets.length && <p className="note">{t("jobs.no_targets")}</p>}
      <RangeFields value={range} onChange={setRange} withoutCamera={wish === "merge"} />
      {wish === "merge" && (
        <>
          <fieldset className="fieldset">
            <legend className="field-label">{t("timeline.which")}</legend>
            {cameras.data?.map((c) => (
              <Checkbox
                key={c.id}
                label={c.name}
                checked={members.has(c.id)}
                onChange={(e) => {
                  const next = new Set(members);
                  if (e.target.checked) next.add(c.id);
                  else next.delete(c.id);
                  setMembers(next);
                }}
              />
            ))}
          </fieldset>
          <MergeFields value={merging} onChange={setMerging} cameras={chosen} />
        </>
      )}
      {wish === "timelapse" && (
        <div className="two">
          <TextField label={t("timeline.make_length")} type="number" min={1} max={36000} required value={length} onChange={(e) => setLength(e.target.value)} />
          <Select label={t("jobs.source")} value={source} onChange={(e) => setSource(e.target.value)}>
            {(["footage", "stills", "auto"] as const).map((one) => <option key={one} value={one}>{t(`jobs.source_${one}`)}</option>)}
          </Select>
        </div>
      )}
      {wish === "export" && (
        <Select label={t("jobs.format")} value={format} onChange={(e) => setFormat(e.target.value)}>
          <option value="mp4">{t("jobs.format_mp4")}</option>
          <option value="fmp4">{t("jobs.format_fmp4")}</option>
        </Select>
      )}
      {wish === "verify" && <Checkbox label={t("jobs.decode")} hint={t("jobs.decode_hint")} checked={decode} onChange={(e) => setDecode(e.target.checked)} />}
      {wish === "upload" && targets.length > 0 && (
        <Select label={t("jobs.target")} value={target} onChange={(e) => setTarget(e.target.value)}>
          <option value="">{t("jobs.all_targets")}</option>
          {targets.map((one) => <option key={one.name} value={one.name}>{one.name} – {one.place}</option>)}
        </Select>
      )}
      {(wish === "export" || wish === "verify") && kind && kind.windows !== "always" && <Checkbox label={t("jobs.anytime")} hint={t("jobs.anytime_hint", { windows: kind.windows })} checked={anytime} onChange={(e) => setAnytime(e.target.checked)} />}
      {ranked && <TextField label={t("jobs.priority")} hint={t("jobs.priority_hint")} type="number" min={-MOST_PRIORITY} max={MOST_PRIORITY} step={1} value={priority} error={rank === null ? t("jobs.priority_wrong") : null} onChange={(e) => setPriority(e.target.value)} />}
      {error && <p className="field-error" role="alert">{error}</p>}
    </Dialog>
  );
}
