import { Download } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { ask, request, url } from "~/api/client";
import { useQuery } from "~/api/query";
import { ErrorNote, Spinner } from "~/components/misc";
import { Logo } from "~/components/logo";
import { useT } from "~/i18n";
import { duration, moment } from "~/lib/format";

interface Shared {
  camera: string;
  name: string;
  from: string;
  to: string;
  expires: string;
}

/** A stretch of footage that somebody was sent a link to. */
export function Share({ token }: { token: string }) {
  const t = useT();
  const [encoded, setEncoded] = useState(false);
  const path = `/shares/${encodeURIComponent(token)}`;
  const { data, error, reload } = useQuery(`share ${token}`, (signal) => ask<Shared>(path, { signal }));
  useEffect(() => {
    document.title = `${t("share.title")} · nvr`;
  }, [t]);
  const gone = error?.status === 404;
  return (
    <main className="entry">
      <div className="shared">
        <header className="shared-head">
          <Logo size={26} />
          <h1>{data?.name ?? t("share.title")}</h1>
        </header>
        {!data && !error && <Spinner />}
        {gone && <p className="note">{t("share.over")}</p>}
        {error && !gone && <ErrorNote error={error} onRetry={() => void reload()} />}
        {data && (
          <>
            <Film path={path} name={data.name} onEncoded={setEncoded} />
            <div className="row shared-foot">
              <div className="grow">
                <p>{moment(data.from)} · {duration((Date.parse(data.to) - Date.parse(data.from)) / 1000)}</p>
                <p className="muted">{t("share.until", { when: moment(data.expires) })}</p>
              </div>
              {encoded ? <Downloads path={path} /> : <a className="button" href={url(`${path}/export.mp4`, { format: "mp4", download: true })} download><Download size={15} aria-hidden />{t("common.download")}</a>}
            </div>
          </>
        )}
      </div>
    </main>
  );
}

/** The footage: as recorded, or as H.264 where the browser has nothing for it. */
function Film({ path, name, onEncoded }: { path: string; name: string; onEncoded(encoded: boolean): void }) {
  const t = useT();
  const video = useRef<HTMLVideoElement>(null);
  const [way, setWay] = useState<"file" | "encoded" | "none">("file");
  useEffect(() => {
    onEncoded(way !== "file");
    const element = video.current;
    if (way !== "encoded" || !element) return;
    let end: (() => void) | null = null;
    let over = false;
    import("~/playback/playlist-video").then(({ playPlaylist }) => {
      if (!over) end = playPlaylist(element, url(`${path}/vod.m3u8`, { codec: "h264" }), () => setWay("none"));
    }, () => setWay("none"));
    return () => {
      over = true;
      end?.();
    };
  }, [way, path, onEncoded]);
  const fails = () => setWay((old) => (old === "file" ? "encoded" : old));
  return (
    <>
      <video
        key={way === "file" ? "file" : "encoded"}
        ref={video}
        className="shared-video"
        src={way === "file" ? url(`${path}/export.mp4`) : undefined}
        poster={url(`${path}/snapshot.jpg`)}
        controls
        playsInline
        aria-label={name}
        data-way={way}
        onError={fails}
        // Where it plays the sound only, a browser sees no fault.
        onLoadedMetadata={(e) => !e.currentTarget.videoWidth && fails()}
      />
      {way === "encoded" && <p className="muted">{t("share.encoded")}</p>}
      {way === "none" && <p className="note" role="alert">{t("share.unplayable")}</p>}
    </>
  );
}

/** Of footage that this browser does not play: as H.264, and as recorded where that is one file. */
function Downloads({ path }: { path: string }) {
  const t = useT();
  const recorded = { format: "mp4", download: true };
  const [whole, setWhole] = useState(false);
  useEffect(() => {
    const controller = new AbortController();
    request(`${path}/export.mp4`, { method: "HEAD", query: { format: "mp4" }, signal: controller.signal }).then(() => setWhole(true), () => {});
    return () => controller.abort();
  }, [path]);
  return (
    <div className="row">
      {whole && <a className="button" href={url(`${path}/export.mp4`, recorded)} download><Download size={15} aria-hidden />{t("share.as_recorded")}</a>}
      <a className="button" href={url(`${path}/export.mp4`, { codec: "h264", download: true })} download><Download size={15} aria-hidden />{t("share.as_h264")}</a>
    </div>
  );
}
