import { Copy } from "lucide-react";
import { useState } from "react";
import { post } from "~/api/client";
import type { Camera } from "~/api/types";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Select, TextField } from "~/components/field";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { duration, moment } from "~/lib/format";
import { at } from "~/lib/base";
import type { Band } from "./data";

const HOURS = [1, 24, 72, 168, 720];

/** Makes a link by which somebody without an account can watch a range. */
export function ShareDialog({ cameras, mark, onClose }: { cameras: Camera[]; mark: Band; onClose(): void }) {
  const t = useT();
  const [camera, setCamera] = useState(cameras[0]?.id ?? "");
  const [hours, setHours] = useState(24);
  const [made, setMade] = useState<{ url: string; expires: string } | null>(null);
  const [busy, setBusy] = useState(false);
  const name = cameras.find((c) => c.id === camera)?.name ?? camera;

  const make = async () => {
    setBusy(true);
    try {
      const answer = await post<{ url: string; expires: string }>("/shares", { camera, from: new Date(mark.start).toISOString(), to: new Date(mark.end).toISOString(), expires: hours * 3600 });
      const address = /^https?:/.test(answer.url) ? answer.url : new URL(at(answer.url), document.baseURI).href;
      setMade({ url: address, expires: answer.expires });
    } catch (e) {
      toastError(e);
    }
    setBusy(false);
  };
  const copy = (text: string) => navigator.clipboard.writeText(text).then(() => toast(t("common.copied")), toastError);

  return (
    <Dialog
      title={t("timeline.share_title")}
      onClose={onClose}
      actions={made ? <Button kind="primary" onClick={onClose}>{t("common.close")}</Button> : (
        <>
          <Button onClick={onClose}>{t("common.cancel")}</Button>
          <Button kind="primary" busy={busy} onClick={() => void make()}>{t("timeline.share_make")}</Button>
        </>
      )}
    >
      <p className="muted">{t("timeline.share_text", { camera: name })}</p>
      <p>{moment(mark.start)} – {moment(mark.end)} · {duration((mark.end - mark.start) / 1000)}</p>
      {made ? (
        <>
          <div className="row">
            <div className="grow"><TextField label={t("timeline.share_link")} hideLabel readOnly value={made.url} onFocus={(e) => e.target.select()} /></div>
            <Button icon={<Copy size={15} />} onClick={() => void copy(made.url)}>{t("common.copy")}</Button>
          </div>
          <p className="muted">{t("timeline.share_until", { when: moment(made.expires) })}</p>
        </>
      ) : (
        <>
          {cameras.length > 1 && (
            <Select label={t("common.camera")} value={camera} onChange={(e) => setCamera(e.target.value)}>
              {cameras.map((c) => <option key={c.id} value={c.id}>{c.name}</option>)}
            </Select>
          )}
          <Select label={t("timeline.share_expires")} value={hours} onChange={(e) => setHours(Number(e.target.value))}>
            {HOURS.map((n) => <option key={n} value={n}>{n < 24 ? t("timeline.share_hours", { n }) : t("timeline.share_days", { n: n / 24 })}</option>)}
          </Select>
        </>
      )}
    </Dialog>
  );
}
