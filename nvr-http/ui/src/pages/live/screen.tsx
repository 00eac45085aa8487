import { useEffect, useRef, useState } from "react";
import { request } from "~/api/client";
import type { Camera } from "~/api/types";
import { useT } from "~/i18n";
import type { Path } from "~/live/driver";
import { LiveView } from "~/live/view";
import type { Feed } from "./feeds";

/** How long a page in the background goes on showing. */
const BACKGROUND_MS = 20_000;

export interface ScreenProps {
  camera: Camera;
  feed: Feed;
  /** Behind the one that is shown, until it has a picture. */
  coming: boolean;
  sound: boolean;
  /** By this path only. */
  path: Path | null;
  onView(feed: Feed, view: LiveView | null): void;
  /** What was coming has a picture. */
  onCome(feed: Feed): void;
}

/** One feed of a camera, in elements of its own. */
export function Screen({ camera, feed, coming, sound, path, onView, onCome }: ScreenProps) {
  const t = useT();
  const video = useRef<HTMLVideoElement>(null);
  const image = useRef<HTMLImageElement>(null);
  const view = useView(camera, feed, path, video, image);
  const [moves, setMoves] = useState(false);
  const { stream, audio } = feed;

  useEffect(() => {
    if (!view) return;
    onView({ stream, audio }, view);
    return () => onView({ stream, audio }, null);
  }, [view, stream, audio, onView]);
  useEffect(() => {
    if (!view) return;
    const look = () => {
      if (view.state.get().phase !== "playing") return;
      setMoves(true);
      if (coming) onCome({ stream, audio });
    };
    look();
    return view.state.subscribe(look);
  }, [view, coming, stream, audio, onCome]);
  useEffect(() => {
    if (video.current) video.current.muted = !sound || coming;
  }, [sound, coming]);

  const flows = camera.state === "recording" || camera.state === "standby";
  return (
    <div className={coming ? "screen screen-coming" : "screen"} aria-hidden={coming || undefined}>
      {!moves && !coming && flows && <Still camera={camera.id} />}
      <video ref={video} className="tile-media" muted playsInline autoPlay aria-label={t("live.live_of", { camera: camera.name })} />
      <img ref={image} className="tile-media" alt={t("live.live_of", { camera: camera.name })} hidden />
    </div>
  );
}

/** Not before this (milliseconds): mostly there is a moving picture sooner. */
const STILL_AFTER_MS = 350;
/** What is older says nothing of now (milliseconds). */
const STILL_FRESH_MS = 20_000;

/** The newest picture that the recorder has, until there are moving ones. */
function Still({ camera }: { camera: string }) {
  const [address, setAddress] = useState<string | null>(null);
  useEffect(() => {
    const controller = new AbortController();
    let made: string | null = null;
    const load = async () => {
      const answer = await request(`/cameras/${camera}/snapshot.jpg`, { query: { width: 640 }, signal: controller.signal });
      const age = Date.parse(answer.headers.get("date") ?? "") - Date.parse(answer.headers.get("x-frame-time") ?? "");
      const blob = await answer.blob();
      if (!(age < STILL_FRESH_MS) || controller.signal.aborted) return;
      made = URL.createObjectURL(blob);
      setAddress(made);
    };
    const timer = setTimeout(() => void load().catch(() => {}), STILL_AFTER_MS);
    return () => {
      clearTimeout(timer);
      controller.abort();
      if (made) URL.revokeObjectURL(made);
    };
  }, [camera]);
  return address ? <img className="tile-still" src={address} alt="" /> : null;
}

/** The view of a feed, while the page is seen. */
function useView(camera: Camera, feed: Feed, path: Path | null, video: { current: HTMLVideoElement | null }, image: { current: HTMLImageElement | null }): LiveView | null {
  const [view, setView] = useState<LiveView | null>(null);
  const latest = useRef({ camera, path });
  latest.current = { camera, path };
  const { stream, audio } = feed;
  useEffect(() => {
    let now: LiveView | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const start = () => {
      if (now || !video.current || !image.current) return;
      now = new LiveView(camera.id, video.current, image.current, { stream, audio, path: latest.current.path, full: () => (stream === "main" ? latest.current.camera.tracks?.video.width : undefined) });
      setView(now);
    };
    const stop = () => {
      now?.stop();
      now = null;
    };
    const onVisible = () => {
      clearTimeout(timer);
      if (document.hidden) timer = setTimeout(stop, BACKGROUND_MS);
      else start();
    };
    start();
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
      stop();
      setView(null);
    };
  }, [camera.id, stream, audio, video, image]);
  // A camera that comes back is shown at once.
  const flows = camera.state === "recording" || camera.state === "standby";
  useEffect(() => {
    if (flows) view?.hurry();
  }, [flows, view]);
  return view;
}
