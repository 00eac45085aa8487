import { useState } from "react";
import { useCameras } from "~/api/cameras";
import { ApiError, post } from "~/api/client";
import type { JobKind, Target } from "~/api/manage";
import type { Job } from "~/api/types";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Checkbox, Select } from "~/components/field";
import { RangeFields, freshRange, readRange } from "~/components/range-fields";
import { toast } from "~/components/toast";
import { useT } from "~/i18n";

export type Wish = "export" | "verify" | "transcode" | "upload" | "restore";
export const WISHES: Wish[] = ["export", "verify", "transcode", "upload", "restore"];

/** Asks for slow work on a stretch of footage. */
export function NewJob({ wish, kinds, targets, onClose, onDone }: { wish: Wish; kinds: JobKind[]; targets: Target[]; onClose(): void; onDone(): void }) {
  const t = useT();
  const cameras = useCameras();
  const [range, setRange] = useState(() => freshRange(cameras.data?.[0]?.id));
  const [format, setFormat] = useState("mp4");
  const [decode, setDecode] = useState(false);
  const [anytime, setAnytime] = useState(true);
  const [target, setTarget] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const kind = kinds.find((k) => k.kind === wish);
  const read = readRange(range);
  const send = async () => {
    if (typeof read === "string") return setError(t(read === "camera" ? "jobs.choose_camera" : read === "time" ? "jobs.choose_time" : "jobs.order"));
    setBusy(true);
    setError(null);
    const query = { from: read.from, to: read.to };
    try {
      let text = t("jobs.entered");
      if (wish === "export") await post<Job>("/jobs", { kind: "export", params: { ...read, format }, anytime });
      else if (wish === "verify") await post<Job>("/jobs", { kind: "verify", params: { ...read, decode }, anytime });
      else if (wish === "transcode") text = t("jobs.entered_n", { n: (await post<{ jobs: number[] }>("/transcoding", read)).jobs.length });
      else if (wish === "restore") await post<Job>(`/cameras/${read.camera}/restore`, undefined, query);
      else text = t("jobs.uploads_n", { n: (await post<{ segments: number }>(`/cameras/${read.camera}/upload`, undefined, { ...query, target: target || null })).segments });
      toast(text);
      onDone();
    } catch (e) {
      setBusy(false);
      setError(e instanceof ApiError ? [e.message || t("common.offline_title"), e.hint].filter(Boolean).join(" ") : String(e));
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
      <RangeFields value={range} onChange={setRange} />
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
      {error && <p className="field-error" role="alert">{error}</p>}
    </Dialog>
  );
}
