import type { LiveInfo, LivePath } from "~/api/types";

/** A way to show a camera live; `pictures` needs nothing but stills and is the last resort. */
export type Path = LivePath | "pictures";

export const PATH_NAMES: Record<Path, string> = { whep: "WebRTC", mse: "MSE", hls: "LL-HLS", preview: "JPEG", mjpeg: "MJPEG", pictures: "JPEG 1/s" };

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
  video: HTMLVideoElement;
  image: HTMLImageElement;
  info: LiveInfo | null;
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

/** Lets go of what a video shows. */
export function release(video: HTMLVideoElement): void {
  video.srcObject = null;
  if (video.hasAttribute("src")) {
    video.removeAttribute("src");
    video.load();
  }
}
