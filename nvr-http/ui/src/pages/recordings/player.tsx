import { useEffect, useRef, useState } from "react";
import { url } from "~/api/client";
import { Spinner } from "~/components/misc";
import { useT } from "~/i18n";

/** Plays a stretch of a camera where it is; gaps are jumped over by the playlist. */
export function Player({ camera, from, to, poster, label }: { camera: string; from: string; to: string; poster: string | null; label: string }) {
  const t = useT();
  const video = useRef<HTMLVideoElement>(null);
  const [state, setState] = useState<"loading" | "ready" | "failed">("loading");
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    const address = url(`/cameras/${camera}/vod.m3u8`, { from, to });
    let over = false;
    let player: { destroy(): void } | null = null;
    const failed = () => !over && setState("failed");
    setState("loading");
    element.onloadeddata = () => !over && setState("ready");
    if (!window.MediaSource) {
      element.src = address;
      element.onerror = failed;
    } else {
      void import("hls.js/light").then(({ default: Hls }) => {
        if (over) return;
        if (!Hls.isSupported()) return failed();
        // Its worker would come from a blob, which the page's policy does not allow.
        const hls = new Hls({ enableWorker: false, maxBufferLength: 20 });
        hls.on(Hls.Events.ERROR, (_, data) => data.fatal && failed());
        hls.loadSource(address);
        hls.attachMedia(element);
        player = hls;
      }, failed);
    }
    return () => {
      over = true;
      element.onerror = element.onloadeddata = null;
      player?.destroy();
      element.removeAttribute("src");
      element.load();
    };
  }, [camera, from, to]);
  return (
    <div className="player" data-state={state}>
      {poster && state !== "ready" && <img src={poster} alt="" />}
      <video ref={video} controls playsInline muted autoPlay aria-label={label} hidden={state === "failed"} />
      {state === "loading" && <div className="player-over"><Spinner /></div>}
      {state === "failed" && <p className="player-over" role="alert">{t("recordings.play_failed")}</p>}
    </div>
  );
}
