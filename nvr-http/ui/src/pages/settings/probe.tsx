import { ScanSearch } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { ApiError, post } from "~/api/client";
import type { ProbeAnswer } from "~/api/manage";
import { Button } from "~/components/button";
import { Spinner } from "~/components/misc";
import { useT } from "~/i18n";
import { codecName } from "../recordings/detail";

export interface Source {
  source: string;
  user: string;
  password: string;
  /** A camera whose secrets stand for those that are not shown. */
  camera?: string;
}

const bodyOf = ({ source, user, password }: Source) => ({ source: source.trim(), ...(user ? { user } : {}), ...(user && password ? { password } : {}) });

/** What is behind an address. A recorder that cannot give a picture with it is asked without. */
export async function probe(source: Source): Promise<ProbeAnswer> {
  try {
    return await post<ProbeAnswer>("/cameras/probe", { ...bodyOf(source), picture: true, ...(source.camera ? { camera: source.camera } : {}) });
  } catch (e) {
    if (e instanceof ApiError && (e.status === 400 || e.status === 422) && /unknown field/.test(e.message)) return post<ProbeAnswer>("/cameras/probe", bodyOf(source));
    throw e;
  }
}

/** Tries an address, and shows what came. */
export function Probe({ source, onDone }: { source: Source; onDone?(answer: ProbeAnswer | null): void }) {
  const t = useT();
  const [state, setState] = useState<{ busy: boolean; answer: ProbeAnswer | null; error: ApiError | null }>({ busy: false, answer: null, error: null });
  const key = JSON.stringify(source);
  const asked = useRef(key);
  // What was found is of another address.
  useEffect(() => {
    if (asked.current !== key) setState({ busy: false, answer: null, error: null });
  }, [key]);
  const run = async () => {
    asked.current = key;
    setState({ busy: true, answer: null, error: null });
    try {
      const answer = await probe(source);
      if (asked.current !== key) return;
      setState({ busy: false, answer, error: null });
      onDone?.(answer);
    } catch (e) {
      if (asked.current !== key) return;
      setState({ busy: false, answer: null, error: e as ApiError });
      onDone?.(null);
    }
  };
  const { answer, error, busy } = state;
  return (
    <div className="probe" aria-live="polite">
      <div className="probe-picture">
        {busy ? <Spinner label={t("settings.probing")} /> : answer?.picture ? <img src={answer.picture} alt={t("settings.picture")} /> : !error && <span className="muted">{answer ? (answer.picture_problem ?? t("settings.no_picture")) : t("settings.probe_hint")}</span>}
        {error && (
          <div className="probe-error" role="alert">
            <p>{error.kind === "offline" ? t("common.offline_title") : error.message}</p>
            {error.hint && <p>{error.hint}</p>}
          </div>
        )}
      </div>
      <div className="row probe-line">
        {answer && <span>{codecName(answer.tracks.video.codec)} {answer.tracks.video.width}×{answer.tracks.video.height}{answer.tracks.video.frame_rate ? ` · ${Math.round(answer.tracks.video.frame_rate)} fps` : ""} · {answer.tracks.audio ? answer.tracks.audio.codec.toUpperCase() : t("settings.no_sound")}</span>}
        <Button icon={<ScanSearch size={15} />} busy={busy} disabled={!source.source.trim()} onClick={() => void run()}>{t("settings.try")}</Button>
      </div>
    </div>
  );
}
