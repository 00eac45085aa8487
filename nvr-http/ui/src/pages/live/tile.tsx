import { AudioLines, Camera as CameraIcon, CircleDot, Ellipsis, GripVertical, History, Maximize, Square, Volume2, VolumeX } from "lucide-react";
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";
import { post, request } from "~/api/client";
import { useMay } from "~/api/session";
import type { Camera } from "~/api/types";
import { Button } from "~/components/button";
import { Menu, type MenuItem } from "~/components/menu";
import { StateBadge } from "~/components/misc";
import { toast, toastError } from "~/components/toast";
import { t as say, useT } from "~/i18n";
import { PATH_NAMES, type Path } from "~/live/driver";
import { LiveView, type LiveState, ORDER } from "~/live/view";
import { ago, moment } from "~/lib/format";
import { useStore } from "~/lib/store";
import { Figures } from "./figures";

export interface TileProps {
  camera: Camera;
  stats: boolean;
  sound: boolean;
  onSound(on: boolean): void;
  alone: boolean;
  onAlone(): void;
  /** Of the handle: drag to reorder, arrow keys. */
  onGrab(e: PointerEvent): void;
  onMove(e: KeyboardEvent): void;
  dragged: boolean;
}

/** How long a page in the background goes on showing. */
const BACKGROUND_MS = 20_000;

export function Tile(props: TileProps) {
  const { camera, stats, sound, alone, onAlone, dragged } = props;
  const t = useT();
  const video = useRef<HTMLVideoElement>(null);
  const image = useRef<HTMLImageElement>(null);
  const box = useRef<HTMLElement>(null);
  const view = useView(camera, video, image);
  const [wanted, setWanted] = useState<Path | null>(null);
  useEffect(() => {
    if (video.current) video.current.muted = !sound;
  }, [sound]);

  return (
    <figure ref={box} className={["tile", dragged && "tile-dragged"].filter(Boolean).join(" ")} data-camera={camera.id} onDoubleClick={(e) => !(e.target as Element).closest("button") && onAlone()}>
      <video ref={video} className="tile-media" muted playsInline autoPlay aria-label={t("live.live_of", { camera: camera.name })} />
      <img ref={image} className="tile-media" alt={t("live.live_of", { camera: camera.name })} hidden />
      {view && <Cover camera={camera} view={view} />}
      {view && stats && <Figures view={view} />}
      <figcaption className="tile-bar">
        {alone ? null : (
          <button type="button" className="tile-grip" aria-label={t("live.move", { camera: camera.name })} title={t("live.move", { camera: camera.name })} onPointerDown={props.onGrab} onKeyDown={props.onMove}>
            <GripVertical size={14} aria-hidden />
          </button>
        )}
        <button type="button" className="tile-name" aria-pressed={alone} title={alone ? t("live.all") : t("live.only", { camera: camera.name })} onClick={onAlone}>{camera.name}</button>
        {camera.recording && <span className="tile-rec" title={t("common.state_recording")}><i className="dot" /><span className="hidden">{t("common.state_recording")}</span></span>}
        <span className="grow" />
        <Tools {...props} box={box} wanted={wanted} onPath={(path) => {
          setWanted(path);
          view?.use(path);
        }} />
      </figcaption>
    </figure>
  );
}

/** The view of a tile, while the tile and the page are seen. */
function useView(camera: Camera, video: { current: HTMLVideoElement | null }, image: { current: HTMLImageElement | null }): LiveView | null {
  const [view, setView] = useState<LiveView | null>(null);
  useEffect(() => {
    let now: LiveView | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const start = () => {
      if (now || !video.current || !image.current) return;
      now = new LiveView(camera.id, video.current, image.current);
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
  }, [camera.id, video, image]);
  // A camera that comes back is shown at once.
  const flows = camera.state === "recording" || camera.state === "standby";
  useEffect(() => {
    if (flows) view?.hurry();
  }, [flows, view]);
  return view;
}

/** Over the picture while there is none: what the camera does, and why. */
function Cover({ camera, view }: { camera: Camera; view: LiveView }) {
  const t = useT();
  const state = useStore(view.state);
  if (state.phase === "playing") return null;
  const flows = camera.state === "recording" || camera.state === "standby";
  return (
    <div className="tile-cover" role="status">
      {flows ? (
        <Trying state={state} />
      ) : (
        <>
          <StateBadge state={camera.state} />
          <p className="tile-cause">{camera.cause.message}</p>
          <p className="tile-since" title={moment(camera.since)}>
            {t("live.since", { when: ago(camera.since) })}
            {camera.next_try && ` · ${t("live.next_try", { when: ago(camera.next_try) })}`}
          </p>
        </>
      )}
    </div>
  );
}

function Trying({ state }: { state: LiveState }) {
  const t = useT();
  return (
    <>
      <span className="spinner" aria-hidden />
      <p className="tile-since">{state.phase === "waiting" && state.error ? state.error : state.path ? t("live.trying", { path: PATH_NAMES[state.path] }) : t("live.connecting")}</p>
    </>
  );
}

function Tools({ camera, sound, onSound, box, wanted, onPath }: TileProps & { box: { current: HTMLElement | null }; wanted: Path | null; onPath(path: Path | null): void }) {
  const t = useT();
  const [, go] = useLocation();
  const operates = useMay("operator");
  const paths: MenuItem[] = [null, ...ORDER].map((path) => ({
    label: path ? t("live.path_only", { path: PATH_NAMES[path] }) : t("live.path_auto"),
    checked: wanted === path,
    onSelect: () => onPath(path),
  }));
  const byHand = camera.record === "manual" && operates;
  return (
    <div className="tile-tools">
      {byHand && (
        <Button kind="ghost" size="small" className={camera.manual ? "tile-recording" : ""} icon={camera.manual ? <Square size={14} fill="currentColor" /> : <CircleDot size={15} />} label={t(camera.manual ? "live.record_stop" : "live.record")} onClick={() => void record(camera)} />
      )}
      {camera.tracks?.audio && <Button kind="ghost" size="small" icon={sound ? <Volume2 size={15} /> : <VolumeX size={15} />} label={t(sound ? "live.sound_off" : "live.sound_on")} pressed={sound} onClick={() => onSound(!sound)} />}
      <Button kind="ghost" size="small" icon={<CameraIcon size={15} />} label={t("live.snapshot")} onClick={() => void snapshot(camera)} />
      <Button kind="ghost" size="small" icon={<Maximize size={15} />} label={t("live.full_screen")} onClick={() => fullScreen(box.current)} />
      <Menu
        button={{ kind: "ghost", size: "small", icon: <Ellipsis size={15} />, label: t("live.more", { camera: camera.name }) }}
        items={[
          { label: t("live.look_back"), icon: <History size={15} />, onSelect: () => go(`/timeline?camera=${camera.id}`) },
          "-",
          ...paths.map((item, n) => (n === 0 ? { ...item, icon: <AudioLines size={15} /> } : item)),
        ]}
      />
    </div>
  );
}

/** On a phone that has full screen for videos only, the video; else the whole tile. */
export function fullScreen(box: HTMLElement | null): void {
  if (document.fullscreenElement) return void document.exitFullscreen();
  if (!box) return;
  if (typeof box.requestFullscreen === "function") return void box.requestFullscreen().catch(toastError);
  const video = box.querySelector("video") as (HTMLVideoElement & { webkitEnterFullscreen?(): void }) | null;
  video?.webkitEnterFullscreen?.();
}

async function record(camera: Camera): Promise<void> {
  try {
    if (camera.manual) await post(`/cameras/${camera.id}/record`, undefined, { stop: true });
    else await post(`/cameras/${camera.id}/record`, {});
    toast(camera.manual ? say("live.recording_ended", { camera: camera.name }) : say("live.recording_by_hand", { camera: camera.name }));
  } catch (e) {
    toastError(e);
  }
}

/** Saves the newest keyframe, in full size, as a file. */
async function snapshot(camera: Camera): Promise<void> {
  try {
    const answer = await request(`/cameras/${camera.id}/snapshot.jpg`);
    const time = answer.headers.get("x-frame-time") ?? new Date().toISOString();
    save(await answer.blob(), `${camera.id}_${time.slice(0, 19).replaceAll(":", "-")}Z.jpg`);
    toast(say("live.snapshot_saved", { camera: camera.name }));
  } catch (e) {
    toastError(e);
  }
}

/** Lets the browser save something as a file. */
export function save(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
