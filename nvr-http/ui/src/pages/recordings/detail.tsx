import { ChartGantt, CloudDownload, Download, Link2, Shield, ShieldOff, Trash2, X } from "lucide-react";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { useCameras } from "~/api/cameras";
import { ask, post, url } from "~/api/client";
import type { Upload } from "~/api/manage";
import { useQuery } from "~/api/query";
import { useMay } from "~/api/session";
import type { Segment } from "~/api/types";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { endOf, secondsBetween } from "~/lib/days";
import { bitRate, bytes, duration, moment } from "~/lib/format";
import { useMedia } from "~/lib/media";
import { Player } from "./player";
import { pictureAt } from "./thumb";

/** What is looked at: a file, or a stretch of a camera. */
export interface Shown {
  key: string;
  camera: string;
  start: string;
  end: string;
  growing: boolean;
  segment: Segment | null;
}

export const shownSegment = (s: Segment): Shown => ({ key: `s${s.id}`, camera: s.camera, start: s.start, end: endOf(s.start, s.duration_seconds), growing: s.state === "open", segment: s });

/** The picture, the facts, and what can be done, beside the list or (where it is narrow) over it. */
export function Detail({ shown, name, onClose, onProtect, onDelete }: { shown: Shown; name: string; onClose(): void; onProtect(on: boolean): void; onDelete?: (() => void) | undefined }) {
  const t = useT();
  const beside = useMedia("(min-width: 1100px)");
  const title = `${name} · ${moment(shown.start)}`;
  const content = <Content {...{ shown, name, onProtect, onDelete }} />;
  if (!beside) return <Dialog title={title} wide onClose={onClose}>{content}</Dialog>;
  return (
    <aside className="card detail" aria-label={t("recordings.details")}>
      <header className="card-head">
        <h2 className="ellipsis">{title}</h2>
        <Button kind="ghost" size="small" icon={<X size={16} />} label={t("common.close")} onClick={onClose} />
      </header>
      <div className="detail-body">{content}</div>
    </aside>
  );
}

function Content({ shown, name, onProtect, onDelete }: { shown: Shown; name: string; onProtect(on: boolean): void; onDelete?: (() => void) | undefined }) {
  const t = useT();
  const operator = useMay("operator");
  const { segment: s, camera, start, end, growing } = shown;
  const remote = s?.state === "remote";
  const masks = useCameras().data?.find((c) => c.id === camera)?.privacy;
  const seconds = secondsBetween(start, end);
  const copies = useQuery(s ? `copies ${s.id}` : null, (signal) => ask<Upload[]>(`/segments/${s?.id}/copies`, { signal }));
  const save = (format: "fmp4" | "mp4") => url(`/cameras/${camera}/export.mp4`, { from: start, to: end, format, download: true });
  const facts: [string, ReactNode][] = [
    [t("recordings.start"), moment(start)],
    [t("recordings.end"), growing ? t("recordings.growing") : moment(end)],
    [t("recordings.length"), duration(seconds)],
  ];
  if (s) {
    const { video, audio } = s.tracks;
    facts.push(
      [t("recordings.size"), bytes(s.size_bytes)],
      [t("recordings.rate"), seconds > 0 ? bitRate((s.size_bytes * 8) / seconds) : "–"],
      [t("recordings.video"), `${codecName(video.codec)} ${video.width}×${video.height}${video.frame_rate ? ` · ${Math.round(video.frame_rate * 10) / 10} fps` : ""}`],
      [t("recordings.audio"), audio ? `${audio.codec.toUpperCase()} · ${audio.sample_rate / 1000} kHz` : t("recordings.no_audio")],
      [t("recordings.copies"), copies.data?.length ? copies.data.map((c) => (c.uploaded ? t("recordings.copy_done", { target: c.target, time: moment(c.uploaded) }) : t("recordings.copy_state", { target: c.target, state: c.state }))).join(", ") : t("recordings.no_copies")],
      ...(s.masked || masks ? [[t("zones.burnt_in"), t(s.masked ? "zones.burnt_in_yes" : "zones.burnt_in_no")] as [string, ReactNode]] : []),
      [t("recordings.file"), <code key="f">{s.path}</code>],
      ...(s.hash ? [[t("recordings.hash"), <code key="h">{s.hash}</code>] as [string, ReactNode]] : []),
    );
  }
  const link = async () => {
    try {
      const { url: address } = await post<{ url: string }>(`/segments/${s?.id}/link`, undefined, { expires: 3600 });
      await navigator.clipboard.writeText(address);
      toast(t("common.copied"));
    } catch (e) {
      toastError(e);
    }
  };
  const restore = () => post(`/cameras/${camera}/restore`, undefined, { from: start, to: end }).then(() => toast(t("recordings.restore_done")), toastError);
  return (
    <>
      {s?.state === "missing" ? null : <Player key={shown.key} camera={camera} from={start} to={end} poster={remote ? null : pictureAt(camera, start, 640)} label={name} />}
      {remote && <p className="muted">{t("recordings.play_remote")}</p>}
      <div className="detail-actions">
        <a className="button button-plain" href={save("fmp4")} download title={t("recordings.download_fmp4")}><Download size={15} /><span>fMP4</span></a>
        <a className="button button-plain" href={save("mp4")} download title={t("recordings.download_mp4")}><Download size={15} /><span>MP4</span></a>
        {operator && (s ? <Button icon={s.protected ? <ShieldOff size={15} /> : <Shield size={15} />} onClick={() => onProtect(!s.protected)}>{s.protected ? t("recordings.unprotect") : t("recordings.protect")}</Button> : <Button icon={<Shield size={15} />} onClick={() => onProtect(true)}>{t("recordings.protect")}</Button>)}
        <Link className="button button-plain" href={`/timeline?cameras=${camera}&at=${encodeURIComponent(start)}`}><ChartGantt size={15} /><span>{t("common.nav_timeline")}</span></Link>
        {remote && operator && <Button icon={<CloudDownload size={15} />} onClick={restore}>{t("recordings.restore")}</Button>}
        {copies.data?.some((c) => c.uploaded) && <Button icon={<Link2 size={15} />} onClick={link}>{t("recordings.link")}</Button>}
        {onDelete && <Button kind="ghost" icon={<Trash2 size={15} />} className="tone-bad" onClick={onDelete}>{t("recordings.delete_here")}</Button>}
      </div>
      <dl className="facts">
        {facts.map(([label, value]) => (
          <div key={label}>
            <dt>{label}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </>
  );
}

export const codecName = (codec: string): string => ({ h264: "H.264", h265: "H.265" })[codec] ?? codec;
