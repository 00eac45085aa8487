import { ListVideo } from "lucide-react";
import { useEffect, useState } from "react";
import { type ApiError, post, wordsOf } from "~/api/client";
import { Button } from "~/components/button";
import { useT } from "~/i18n";

interface Profile {
  token: string;
  name: string;
  codec: string;
  width: number;
  height: number;
  frame_rate: number | null;
  stream: string | null;
}

interface Offer {
  address: string;
  model: string;
  profiles: Profile[];
  source: string | null;
  sub: string | null;
  clock_ahead_seconds: number | null;
}

export interface Streams {
  source: string;
  sub: string;
  onvif: string;
}

/** From so many seconds on a camera's clock is wrong. */
const CLOCK_S = 5;

/** Asks a camera by ONVIF for its streams; the best are taken, and others can be. */
export function StreamsOf({ address, user, password, chosen, onChoose }: { address: string; user: string; password: string; chosen: { source: string; sub: string }; onChoose(streams: Streams): void }) {
  const t = useT();
  const [offer, setOffer] = useState<Offer | null>(null);
  const [error, setError] = useState<ApiError | null>(null);
  const [busy, setBusy] = useState(false);
  useEffect(() => {
    setOffer(null);
    setError(null);
  }, [address]);
  const ask = async () => {
    setBusy(true);
    setError(null);
    try {
      const found = await post<Offer>("/discovery/stream", { address, ...(user ? { user, password } : {}) });
      setOffer(found);
      if (found.source) onChoose({ source: found.source, sub: found.sub ?? "", onvif: found.address });
    } catch (e) {
      setOffer(null);
      setError(e as ApiError);
    }
    setBusy(false);
  };
  const ahead = offer?.clock_ahead_seconds ?? 0;
  const usable = offer?.profiles.filter((p) => p.stream && /^H26[45]$/.test(p.codec)) ?? [];
  return (
    <div className="stack streams" aria-live="polite">
      <div className="row">
        <p className="muted grow">{t("settings.streams_text")}</p>
        <Button icon={<ListVideo size={15} />} busy={busy} onClick={() => void ask()}>{t("settings.streams_ask")}</Button>
      </div>
      {error && <p className="note note-bad" role="alert">{wordsOf(error) || t("common.offline_title")}</p>}
      {offer && !usable.length && <p className="note">{t("settings.streams_none")}</p>}
      {offer && usable.length > 0 && (
        <table className="streams-table">
          <thead><tr><th>{t("settings.streams_name")}</th><th>{t("settings.streams_main")}</th><th>{t("settings.streams_sub")}</th></tr></thead>
          <tbody>
            {usable.map((p) => {
              const stream = p.stream ?? "";
              const words = `${p.name}: ${p.codec} ${p.width}×${p.height}${p.frame_rate ? ` · ${Math.round(p.frame_rate)} fps` : ""}`;
              return (
                <tr key={p.token}>
                  <td>{words}</td>
                  <td><input type="radio" name="streams-main" aria-label={`${t("settings.streams_main")}: ${words}`} checked={chosen.source === stream} onChange={() => onChoose({ source: stream, sub: chosen.sub === stream ? "" : chosen.sub, onvif: offer.address })} /></td>
                  <td><input type="radio" name="streams-sub" aria-label={`${t("settings.streams_sub")}: ${words}`} checked={chosen.sub === stream} disabled={chosen.source === stream} onChange={() => onChoose({ source: chosen.source, sub: stream, onvif: offer.address })} /></td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
      {offer && Math.abs(ahead) > CLOCK_S && <p className="note">{t("settings.streams_clock", { n: Math.round(Math.abs(ahead)) })}</p>}
    </div>
  );
}
