import { Download } from "lucide-react";
import { useState } from "react";
import { request } from "~/api/client";
import { Button } from "~/components/button";
import { Card } from "~/components/misc";
import { toastError } from "~/components/toast";
import { useT } from "~/i18n";

/** Everything that is not footage, saved as a file. */
export function Backup() {
  const t = useT();
  const [busy, setBusy] = useState(false);
  const save = async () => {
    setBusy(true);
    try {
      const answer = await request("/backup", { method: "POST", headers: { accept: "application/gzip" } });
      const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "nvr-backup.tar.gz";
      const link = document.createElement("a");
      link.href = URL.createObjectURL(await answer.blob());
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    } catch (e) {
      toastError(e);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card title={t("system.backup")}>
      <div className="card-text row">
        <p className="muted grow">{t("system.backup_about")}</p>
        <Button icon={<Download size={15} />} busy={busy} onClick={() => void save()}>{t("system.backup_save")}</Button>
      </div>
    </Card>
  );
}
