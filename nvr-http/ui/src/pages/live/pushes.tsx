import { Square } from "lucide-react";
import { type FormEvent, useEffect, useState } from "react";
import { ApiError, wordsOf } from "~/api/client";
import { type Push, type PushState, type PushWish, type Pushes, startPush, stopPush } from "~/api/pushes";
import type { Camera, LiveStream } from "~/api/types";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Checkbox, Select, TextField } from "~/components/field";
import { Badge } from "~/components/misc";
import { toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { ago, bytes, moment, number } from "~/lib/format";

const TONES: Record<PushState, string> = { live: "good", connecting: "warn", waiting: "none", retrying: "bad" };
const KNOWN = /^(rtmps?|srt):\/\/[^/\s:?]+/i;

/** Where a camera is pushed to: what runs, and another one. */
export default function PushDialog({ camera, hasSub, pushes, onClose }: { camera: Camera; hasSub: boolean; pushes: Pushes; onClose(): void }) {
  const t = useT();
  const mine = pushes.list.filter((p) => p.camera === camera.id);
  const { reload } = pushes;
  // Bytes and losses are told by no event.
  useEffect(() => {
    const timer = setInterval(reload, 2000);
    return () => clearInterval(timer);
  }, [reload]);
  return (
    <Dialog title={t("pushes.title", { camera: camera.name })} onClose={onClose} actions={<Button onClick={onClose}>{t("common.close")}</Button>}>
      <p className="muted">{t("pushes.text")}</p>
      {mine.length > 0 && (
        <ul className="pushes">
          {mine.map((push) => <Running key={push.id} push={push} onStopped={reload} />)}
        </ul>
      )}
      <Another camera={camera} hasSub={hasSub} onStarted={reload} />
    </Dialog>
  );
}

function Running({ push, onStopped }: { push: Push; onStopped(): void }) {
  const t = useT();
  const [busy, setBusy] = useState(false);
  const stop = async () => {
    setBusy(true);
    try {
      await stopPush(push);
    } catch (e) {
      // Stopped by somebody else meanwhile.
      if (!(e instanceof ApiError) || e.status !== 404) toastError(e);
    }
    setBusy(false);
    onStopped();
  };
  const { state, last_failure: failure } = push;
  return (
    <li className="push">
      <div className="push-text">
        <p className="push-address">{push.url}</p>
        <p className="push-facts">
          <Badge tone={TONES[state]} dot>{t(`pushes.state_${state}`)}</Badge>
          <span title={moment(push.since)}>{ago(push.since)}</span>
          <span>{bytes(push.bytes)}</span>
          {push.stream === "sub" && <span>{t("live.stream_sub")}</span>}
          {!push.audio && <span>{t("pushes.silent")}</span>}
          {push.keep && <span>{t("pushes.kept")}</span>}
          {push.frames_lost > 0 && <span>{t("pushes.lost", { n: push.frames_lost, count: number(push.frames_lost) })}</span>}
          {push.by && <span>{t("pushes.by", { name: push.by })}</span>}
        </p>
        {failure && state !== "live" && <p className="field-error">{failure.message} · {ago(failure.at)}</p>}
      </div>
      <Button size="small" icon={<Square size={13} />} busy={busy} onClick={() => void stop()}>{t("pushes.stop")}</Button>
    </li>
  );
}

function Another({ camera, hasSub, onStarted }: { camera: Camera; hasSub: boolean; onStarted(): void }) {
  const t = useT();
  const [wish, setWish] = useState<PushWish>({ url: "", stream: "main", audio: true, keep: false });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  const start = async (e: FormEvent) => {
    e.preventDefault();
    const url = wish.url.trim();
    if (!KNOWN.test(url)) return setError(t("pushes.address_wrong"));
    setBusy(true);
    setError(null);
    try {
      await startPush(camera.id, { ...wish, url });
      setWish({ ...wish, url: "" });
      onStarted();
    } catch (e) {
      if (e instanceof ApiError && [400, 409, 429, 501, 503].includes(e.status)) setError(wordsOf(e));
      else toastError(e);
    }
    setBusy(false);
  };
  return (
    <form className="push-form" onSubmit={(e) => void start(e)} noValidate>
      <TextField
        label={t("pushes.address")}
        hint={t("pushes.address_hint")}
        error={error}
        type="text"
        inputMode="url"
        autoComplete="off"
        spellCheck={false}
        placeholder="rtmp://live.example.org/app/key"
        value={wish.url}
        onChange={(e) => setWish({ ...wish, url: e.target.value })}
      />
      {hasSub && (
        <Select label={t("live.stat_stream")} value={wish.stream} onChange={(e) => setWish({ ...wish, stream: e.target.value as LiveStream })}>
          <option value="main">{t("live.stream_main")}</option>
          <option value="sub">{t("live.stream_sub")}</option>
        </Select>
      )}
      <Checkbox label={t("pushes.audio")} checked={wish.audio} onChange={(e) => setWish({ ...wish, audio: e.target.checked })} />
      <Checkbox label={t("pushes.keep")} checked={wish.keep} onChange={(e) => setWish({ ...wish, keep: e.target.checked })} />
      <Button kind="primary" type="submit" busy={busy}>{t("pushes.start")}</Button>
    </form>
  );
}
