import { url } from "~/api/client";
import type { LiveInfo, LivePath, LiveStream } from "~/api/types";
import { socketAt } from "~/lib/base";

/** A way to show a camera live; `pictures` needs nothing but stills and is the last resort. */
export type Path = LivePath | "pictures";

export const PATH_NAMES: Record<Path, string> = { whep: "WebRTC", mse: "MSE", hls: "LL-HLS", preview: "JPEG", mjpeg: "MJPEG", pictures: "JPEG 1/s" };

/** Ways that bring pictures only. */
export const SILENT: ReadonlySet<Path> = new Set<Path>(["preview", "mjpeg", "pictures"]);

/** Figures since the path began. Null: not known on this path. */
export interface Sample {
  bytes: number | null;
  frames: number | null;
  lost: number | null;
  /** Seconds. */
  roundTrip: number | null;
  /** Seconds from the camera's picture to the page, where the path tells. */
  latency: number | null;
  width: number;
  height: number;
}

export interface Stage {
  camera: string;
  /** Which of the camera's streams. */
  stream: LiveStream;
  /** Whether somebody listens. Where sound costs delay, it is left out otherwise. */
  audio: boolean;
  video: HTMLVideoElement;
  image: HTMLImageElement;
  info: LiveInfo | null;
  /** Pixels across that are worth asking for: no more than shown, and no more than there are. */
  width(): number;
  signal: AbortSignal;
  /** To be called with each first and further sign that pictures move. */
  alive(): void;
  /** Shows the video, or the image. */
  show(which: "video" | "image"): void;
  /** How the figures are had, from now on. */
  sampler(sample: () => Sample | Promise<Sample>): void;
}

/** Shows the camera until it ends (then says why) or fails (then throws). */
export type Driver = (stage: Stage) => Promise<string>;

/** A promise that ends with the signal, and takes back what it set up. */
export function until<T>(signal: AbortSignal, run: (resolve: (value: T) => void, reject: (error: Error) => void) => () => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let clean: (() => void) | null = null;
    let over = false;
    const end = (settle: () => void) => {
      if (over) return;
      over = true;
      signal.removeEventListener("abort", stop);
      clean?.();
      settle();
    };
    const stop = () => end(() => reject(new Error("stopped")));
    signal.addEventListener("abort", stop);
    clean = run((value) => end(() => resolve(value)), (error) => end(() => reject(error)));
    if (over) clean();
    else if (signal.aborted) stop();
  });
}

export function frames(video: HTMLVideoElement): number | null {
  return video.getVideoPlaybackQuality?.().totalVideoFrames ?? null;
}

/** Address of a way to watch a stream of a camera. */
export const addressOf = ({ camera, stream }: Stage, way: string, query: Record<string, string | number | boolean | null> = {}): string => url(`/cameras/${camera}/${way}`, { stream: stream === "sub" ? "sub" : null, ...query });

/** The same for a WebSocket. */
export const socketOf = (stage: Stage, way: string, query: Record<string, string | number | boolean | null> = {}): WebSocket => new WebSocket(new URL(addressOf(stage, way, query), socketAt("/")).href);

/** Tells at once of the first frame that is shown, and then a few times a second whether there were others; ends it. */
export function watchFrames(video: HTMLVideoElement, moved: () => boolean, alive: () => void): () => void {
  let handle = 0;
  // A page in the background has no such frames, nor has every browser: therefore the clock beside it.
  if (typeof video.requestVideoFrameCallback === "function") handle = video.requestVideoFrameCallback(alive);
  const timer = setInterval(() => moved() && alive(), 250);
  return () => {
    clearInterval(timer);
    if (handle) video.cancelVideoFrameCallback(handle);
  };
}

/** Lets go of what a video shows. */
export function release(video: HTMLVideoElement): void {
  video.srcObject = null;
  if (video.hasAttribute("src")) {
    video.removeAttribute("src");
    video.load();
  }
}
