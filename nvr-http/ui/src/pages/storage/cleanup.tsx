import { useEffect, useState } from "react";
import { type ApiError, post } from "~/api/client";
import type { Cleanup } from "~/api/manage";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Empty, ErrorNote, Spinner } from "~/components/misc";
import { Table } from "~/components/table";
import { toast } from "~/components/toast";
import { useT } from "~/i18n";
import { bytes, moment, number } from "~/lib/format";
import { cleanupTotal } from "./sums";

const REASONS = ["age", "camera_bytes", "total_bytes", "free_space", "emergency", "requested"] as const;

/** Says what a cleanup would delete, and deletes it when that is wanted. */
export function CleanupDialog({ names, onClose, onDone }: { names: Map<string, string>; onClose(): void; onDone(): void }) {
  const t = useT();
  const [plan, setPlan] = useState<Cleanup | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    post<Cleanup>("/storage/cleanup", undefined, { dry_run: true }).then(setPlan, setError);
  }, []);
  const run = async () => {
    setBusy(true);
    setError(null);
    let [segments, size] = [0, 0];
    try {
      for (let more = true; more; ) {
        const pass = await post<Cleanup>("/storage/cleanup");
        const sum = cleanupTotal(pass);
        segments += sum.segments;
        size += sum.bytes;
        more = pass.more && sum.segments > 0;
        if (pass.failed.length) toast(pass.failed.join(" "), "bad");
      }
      toast(t("storage.cleaned", { n: segments, size: bytes(size) }));
      onDone();
    } catch (e) {
      setError(e as ApiError);
      setBusy(false);
    }
  };
  const sum = plan && cleanupTotal(plan);
  return (
    <Dialog
      title={t("storage.cleanup")}
      wide
      onClose={onClose}
      actions={
        <>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          {sum && sum.segments > 0 && <Button kind="danger" busy={busy} onClick={() => void run()}>{t("storage.cleanup_do", { n: sum.segments, size: bytes(sum.bytes) })}</Button>}
        </>
      }
    >
      {error && <ErrorNote error={error} />}
      {!plan && !error && <div className="center"><Spinner /></div>}
      {plan && sum && (sum.segments === 0 ? (
        <Empty title={t("storage.cleanup_nothing")}><p>{t("storage.cleanup_nothing_text")}</p></Empty>
      ) : (
        <>
          <p>{t("storage.cleanup_text", { n: sum.segments, size: bytes(sum.bytes) })}</p>
          <Table
            caption={t("storage.cleanup")}
            rows={plan.deleted}
            rowKey={(d) => `${d.camera} ${d.reason}`}
            columns={[
              { key: "camera", label: t("common.camera"), cell: (d) => names.get(d.camera) ?? d.camera },
              { key: "reason", label: t("storage.reason"), cell: (d) => { const known = REASONS.find((r) => r === d.reason); return known ? t(`storage.reason_${known}`) : d.reason; } },
              { key: "range", label: t("storage.range"), wideOnly: true, cell: (d) => `${moment(d.from)} – ${moment(d.until)}` },
              { key: "n", label: t("storage.files"), align: "end", cell: (d) => number(d.segments) },
              { key: "size", label: t("storage.size"), align: "end", cell: (d) => bytes(d.size_bytes) },
            ]}
          />
        </>
      ))}
      {plan && plan.short_bytes > 0 && <p className="note note-bad">{t("storage.short", { size: bytes(plan.short_bytes) })}</p>}
    </Dialog>
  );
}
