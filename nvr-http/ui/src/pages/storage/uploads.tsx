import { RotateCcw } from "lucide-react";
import { useState } from "react";
import { ask, post } from "~/api/client";
import type { Target, Upload, UploadState } from "~/api/manage";
import { useQuery } from "~/api/query";
import { useMay } from "~/api/session";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Select } from "~/components/field";
import { Badge, Card, Empty, Spinner } from "~/components/misc";
import { Table } from "~/components/table";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { ago, bytes, moment, number } from "~/lib/format";
import { usePages } from "~/lib/pages";
import { uploadsIn } from "./sums";

const STATES: UploadState[] = ["waiting", "queued", "failed", "cancelled", "done"];

/** Places that footage is copied to, what waits, and what failed. */
export function Uploads() {
  const t = useT();
  const operator = useMay("operator");
  const [shown, setShown] = useState<Target | null>(null);
  const targets = useQuery("upload targets", (signal) => ask<Target[]>("/uploads", { signal }), { every: 10_000, on: ["upload_trouble", "upload_recovered", "job_changed"] });
  const retry = (name: string) => post<{ segments?: number }>(`/uploads/${encodeURIComponent(name)}/retry`).then(() => { toast(t("storage.retried")); void targets.reload(); }, toastError);
  return (
    <Card title={t("storage.uploads")}>
      {targets.error && !targets.data ? (
        <Unavailable error={targets.error} what={t("storage.uploads_absent")} onRetry={() => void targets.reload()} />
      ) : !targets.data ? (
        <div className="center"><Spinner /></div>
      ) : !targets.data.length ? (
        <p className="card-text muted">{t("storage.uploads_none")}</p>
      ) : (
        <ul className="targets">
          {targets.data.map((target) => {
            const [done, failed, waiting, queued] = (["done", "failed", "waiting", "queued"] as const).map((s) => uploadsIn(target, s));
            return (
              <li key={target.name}>
                <div className="row">
                  <b>{target.name}</b>
                  <Badge tone={target.trouble_since ? "bad" : target.open ? "good" : "none"} dot>{target.trouble_since ? t("storage.trouble", { time: ago(target.trouble_since) }) : target.open ? t("storage.open") : t("storage.closed", { time: target.changes ? moment(target.changes) : "–" })}</Badge>
                  <span className="row target-tools">
                    {operator && (failed?.segments ?? 0) > 0 && <Button size="small" icon={<RotateCcw size={14} />} onClick={() => void retry(target.name)}>{t("common.retry")}</Button>}
                    <Button size="small" onClick={() => setShown(target)}>{t("storage.list")}</Button>
                  </span>
                </div>
                <p className="muted ellipsis">{target.place}</p>
                <p className="target-counts">
                  <span>{t("storage.n_done", { n: done?.segments ?? 0, size: bytes(done?.size_bytes ?? 0) })}</span>
                  <span>{t("storage.n_waiting", { n: (waiting?.segments ?? 0) + (queued?.segments ?? 0), size: bytes((waiting?.size_bytes ?? 0) + (queued?.size_bytes ?? 0)) })}{target.waits_since && ` · ${t("storage.waits_since", { time: ago(target.waits_since) })}`}</span>
                  {(failed?.segments ?? 0) > 0 && <span className="tone-bad">{t("storage.n_failed", { n: failed?.segments ?? 0 })}</span>}
                </p>
                {target.last_failure && <p className="tone-bad">{target.last_failure}</p>}
              </li>
            );
          })}
        </ul>
      )}
      {shown && <UploadList target={shown} onClose={() => setShown(null)} />}
    </Card>
  );
}

function UploadList({ target, onClose }: { target: Target; onClose(): void }) {
  const t = useT();
  const [state, setState] = useState<UploadState>(uploadsIn(target, "failed").segments ? "failed" : "waiting");
  const list = usePages<Upload>(`uploads ${target.name} ${state}`, async (cursor, signal) => {
    const page = await ask<{ uploads: Upload[]; next: string | null }>(`/uploads/${encodeURIComponent(target.name)}`, { signal, query: { state, order: state === "done" ? "desc" : "asc", limit: 100, cursor } });
    return { items: page.uploads, next: page.next };
  });
  return (
    <Dialog title={t("storage.uploads_to", { target: target.name })} wide onClose={onClose}>
      <Select label={t("jobs.state")} value={state} onChange={(e) => setState(e.target.value as UploadState)}>
        {STATES.map((s) => <option key={s} value={s}>{t(`storage.upload_${s}`)} ({number(uploadsIn(target, s).segments)})</option>)}
      </Select>
      {list.error && <Unavailable error={list.error} what={t("storage.uploads_absent")} onRetry={list.reload} />}
      <Table
        caption={t("storage.uploads_to", { target: target.name })}
        rows={list.items}
        rowKey={(u) => u.segment}
        empty={list.loading ? <div className="center"><Spinner /></div> : <Empty title={t("common.nothing")} />}
        columns={[
          { key: "start", label: t("recordings.start"), cell: (u) => moment(u.start) },
          { key: "key", label: t("storage.key"), wideOnly: true, cell: (u) => <code>{u.key}</code> },
          { key: "size", label: t("storage.size"), align: "end", cell: (u) => bytes(u.size_bytes) },
          { key: "about", label: t("storage.about"), cell: (u) => (u.error ? <span className="tone-bad">{u.error}</span> : u.uploaded ? moment(u.uploaded) : ago(u.entered)) },
        ]}
      />
      {list.more && <Button busy={list.loading} onClick={list.loadMore}>{t("common.more")}</Button>}
    </Dialog>
  );
}
