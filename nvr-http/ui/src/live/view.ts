import { ApiError, ask } from "~/api/client";
import type { LiveInfo, LiveStream } from "~/api/types";
import { store } from "~/lib/store";
import type { Driver, Path, Sample } from "./driver";
import { hls } from "./hls";
import { mediaSource, mse } from "./mse";
import { mjpeg, pictures, preview } from "./pictures";
import { whep } from "./whep";

const DRIVERS: Record<Path, Driver> = { whep, mse, hls, preview, mjpeg, pictures };

/** From the fastest to the one that always works. */
export const ORDER: Path[] = ["whep", "mse", "hls", "preview", "mjpeg", "pictures"];

/** How long a path may take for its first picture, and may stand still later. */
const FIRST_MS = 8000;
const STILL_MS = 6000;
/** A path that failed is not tried for so long; one that showed something is tried at once. */
const SHUN_MS = 60_000;
const SOON_MS = 400;
const LATER_MS = 5000;

export interface LiveState {
  phase: "connecting" | "playing" | "waiting";
  path: Path | null;
  /** Which stream is shown. Without a sub stream, or while that sends nothing, it is the main one. */
  stream: LiveStream;
  /** Whether the camera has a sub stream, as far as known. */
  hasSub: boolean;
  /** Whether the stream that is shown has sound, as far as known. */
  sounds: boolean;
  /** Why the faster paths are not used. */
  reasons: Partial<Record<Path, string>>;
  /** Why nothing is shown. */
  error: string | null;
}

/** Nothing is known yet. */
export const BEFORE: LiveState = { phase: "connecting", path: null, stream: "main", hasSub: false, sounds: true, reasons: {}, error: null };

/** Which paths to try, in order, and why the others are not. */
export function plan(info: LiveInfo | null, shunned: ReadonlyMap<Path, { until: number; why: string }>, wanted: Path | null, now: number): { paths: Path[]; reasons: LiveState["reasons"] } {
  const reasons: LiveState["reasons"] = {};
  const paths = ORDER.filter((path) => {
    if (wanted && path !== wanted) return false;
    const shun = shunned.get(path);
    if (!wanted && shun && shun.until > now) reasons[path] = shun.why;
    // Of a stream that sends nothing there is no still either.
    else if (path === "pictures" && info && !info.codec) reasons[path] = Object.values(info.paths).find((told) => !told.ok)?.why ?? "the camera sends nothing";
    else if (path === "pictures") return true;
    else if (path === "whep" && typeof RTCPeerConnection === "undefined") reasons[path] = "this browser has no WebRTC";
    else if (path === "mse" && !mediaSource()) reasons[path] = "this browser has no MediaSource";
    else {
      const told = info?.paths[path];
      if (told?.ok) return true;
      reasons[path] = told?.why ?? "the recorder does not offer it";
    }
    return false;
  });
  return { paths, reasons };
}

export interface Wishes {
  stream: LiveStream;
  /** Whether somebody listens. */
  audio: boolean;
  /** By this path only, or (null) by the best. */
  path: Path | null;
  /** Width of the camera's own picture, as far as known. */
  full(): number | undefined;
}

/** Shows one camera live in the elements given, by the best path there is, for as long as it is not stopped. */
export class LiveView {
  readonly state = store<LiveState>(BEFORE);
  private readonly stopping = new AbortController();
  private shunned = new Map<Path, { until: number; why: string }>();
  private sample: (() => Sample | Promise<Sample>) | null = null;
  private wake: (() => void) | null = null;
  private current: AbortController | null = null;
  private wanted: Path | null;

  constructor(
    private readonly camera: string,
    private readonly video: HTMLVideoElement,
    private readonly image: HTMLImageElement,
    private readonly wishes: Wishes,
  ) {
    this.wanted = wishes.path;
    void this.run();
  }

  stop(): void {
    this.stopping.abort();
    this.current?.abort();
    this.wake?.();
  }

  /** Tries again now, for something changed. */
  hurry(): void {
    this.wake?.();
  }

  /** By this path only, or (null) by the best. */
  use(path: Path | null): void {
    this.wanted = path;
    this.shunned.clear();
    this.current?.abort();
    this.wake?.();
  }

  async figures(): Promise<Sample | null> {
    return (await this.sample?.()) ?? null;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      let info: LiveInfo | null = null;
      try {
        info = await this.ask(this.wishes.stream, signal);
        // A sub stream that sends nothing is no reason to show nothing.
        if (info.stream === "sub" && !info.codec) info = await this.ask("main", signal);
      } catch (e) {
        if (signal.aborted) return;
        // A recorder without live paths still has pictures.
        if (!(e instanceof ApiError) || e.status !== 404) {
          this.wait((e as Error).message);
          await this.pause(e instanceof ApiError && e.status === 0 ? 1500 : LATER_MS);
          continue;
        }
      }
      this.set({ stream: info?.stream ?? "main", hasSub: info?.has_sub ?? false, sounds: info?.audio !== null });
      const { paths, reasons } = plan(info, this.shunned, this.wanted, Date.now());
      const { wanted } = this;
      const shown = await this.tryAll(paths, info, reasons);
      if (signal.aborted) return;
      // What somebody just chose is not kept waiting.
      if (this.wanted === wanted) await this.pause(shown ? SOON_MS : LATER_MS);
    }
  }

  private ask(stream: LiveStream, signal: AbortSignal): Promise<LiveInfo> {
    return ask<LiveInfo>(`/cameras/${this.camera}/live`, { query: { stream: stream === "sub" ? "sub" : null }, signal });
  }

  /** One path after the other until one showed something; whether one did. */
  private async tryAll(paths: Path[], info: LiveInfo | null, reasons: LiveState["reasons"]): Promise<boolean> {
    for (const path of paths) {
      const wanted = this.wanted;
      if (this.state.get().phase !== "playing") this.set({ phase: "connecting", path, reasons: { ...reasons }, error: null });
      const { shown, why } = await this.play(path, info, reasons);
      if (this.stopping.signal.aborted || this.wanted !== wanted) return true;
      if (shown) {
        this.set({ phase: "connecting", path, error: why });
        return true;
      }
      reasons[path] = why;
      if (path !== "pictures") this.shunned.set(path, { until: Date.now() + SHUN_MS, why });
    }
    const last = paths.at(-1);
    this.wait((last && reasons[last]) || Object.values(reasons)[0] || null, reasons);
    return false;
  }

  private async play(path: Path, info: LiveInfo | null, reasons: LiveState["reasons"]): Promise<{ shown: boolean; why: string }> {
    const controller = new AbortController();
    this.current = controller;
    let shown = false;
    let why = "no picture came";
    let last = Date.now();
    const guard = setInterval(() => {
      // A page in the background shows nothing, and that is no fault.
      if (document.hidden) last = Date.now();
      else if (Date.now() - last > (shown ? STILL_MS : FIRST_MS)) {
        why = shown ? "the picture stands still" : why;
        controller.abort();
      }
    }, 500);
    try {
      why = await DRIVERS[path]({
        camera: this.camera,
        stream: info?.stream ?? "main",
        audio: this.wishes.audio,
        video: this.video,
        image: this.image,
        info,
        signal: controller.signal,
        width: () => Math.round(Math.min(1920, info?.width ?? this.wishes.full() ?? 1280, Math.max(320, (this.image.parentElement?.clientWidth ?? 640) * devicePixelRatio))),
        alive: () => {
          last = Date.now();
          if (shown || this.stopping.signal.aborted) return;
          shown = true;
          this.set({ phase: "playing", path, reasons: { ...reasons }, error: null });
        },
        show: (which) => {
          this.video.hidden = which !== "video";
          this.image.hidden = which !== "image";
        },
        sampler: (sample) => {
          this.sample = sample;
        },
      });
    } catch (e) {
      if (!controller.signal.aborted) why = (e as Error).message;
    }
    clearInterval(guard);
    this.sample = null;
    return { shown, why };
  }

  private wait(error: string | null, reasons = this.state.get().reasons): void {
    this.set({ phase: "waiting", path: null, reasons: { ...reasons }, error });
  }

  private set(change: Partial<LiveState>): void {
    if (!this.stopping.signal.aborted) this.state.set((old) => ({ ...old, ...change }));
  }

  private pause(milliseconds: number): Promise<void> {
    return new Promise((done) => {
      const timer = setTimeout(() => this.wake?.(), milliseconds);
      this.wake = () => {
        clearTimeout(timer);
        this.wake = null;
        done();
      };
      if (this.stopping.signal.aborted) this.wake();
    });
  }
}
