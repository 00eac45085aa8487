import { store } from "~/lib/store";
import type { Feeder } from "./feeder";

export const RATES = [0.25, 0.5, 1, 2, 4, 8, 16] as const;

export interface PlayerState {
  playing: boolean;
  rate: number;
  /** Waits for footage to come. */
  waiting: boolean;
  /** Cameras without footage at this moment. */
  missing: ReadonlySet<string>;
  /** Behind the last footage of all. */
  atEnd: boolean;
}

/** Drift that is caught up with by running a little faster or slower, and that which needs a jump (milliseconds). */
const DRIFT = 60;
const FAR = 600;
const TICK = 100;

/** Plays one or many cameras in step. The first that has footage leads; gaps of all are skipped. */
export class Player {
  readonly state = store<PlayerState>({ playing: false, rate: 1, waiting: false, missing: new Set(), atEnd: false });
  private feeders: Feeder[] = [];
  private now: number;
  private timer: ReturnType<typeof setInterval>;
  private listeners = new Set<(time: number) => void>();
  private leader: Feeder | null = null;
  private frameLoop = 0;
  private stepping = false;
  /** Time of the frame that was stepped to, in the video's own time. */
  private presented = new WeakMap<HTMLVideoElement, number>();
  /** Whether it was ended: then it plays nothing any more. */
  ended = false;

  constructor(start: number) {
    this.now = start;
    this.timer = setInterval(() => this.tick(), TICK);
    const draw = () => {
      this.frameLoop = requestAnimationFrame(draw);
      if (this.state.get().playing && this.leader?.ready) this.tell();
    };
    draw();
  }

  /** The moment that is shown, in Unix milliseconds. */
  get time(): number {
    const { leader } = this;
    if (leader && leader.video.readyState >= 1 && !leader.video.seeking && leader.covers(leader.wall).kind === "data") this.now = leader.wall;
    return this.now;
  }

  onTime(listener: (time: number) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  add(feeder: Feeder): () => void {
    this.feeders.push(feeder);
    // Rather than at the next tick: it is what somebody waits for.
    feeder.changed = () => this.tick();
    void feeder.seek(this.now).catch(() => {});
    return () => {
      this.feeders = this.feeders.filter((f) => f !== feeder);
      if (this.leader === feeder) this.leader = null;
      feeder.close();
    };
  }

  /** Goes to a moment; goes on playing if it does. */
  seek(time: number): void {
    this.now = Math.min(time, Date.now());
    this.leader = null;
    this.presented = new WeakMap();
    this.change({ atEnd: false });
    for (const feeder of this.feeders) void feeder.seek(this.now).catch(() => {});
    this.tell();
  }

  play(): void {
    this.presented = new WeakMap();
    this.change({ playing: true, atEnd: false });
    this.tick();
  }

  pause(): void {
    this.change({ playing: false, waiting: false });
    for (const { video } of this.feeders) video.pause();
  }

  setRate(rate: number): void {
    this.change({ rate });
    this.tick();
  }

  /** One frame on (or back), standing still. */
  async step(direction: 1 | -1): Promise<void> {
    this.pause();
    const leader = this.leader ?? this.feeders[0];
    if (!leader || this.stepping) return;
    this.stepping = true;
    const { video, frame } = leader;
    const before = this.presented.get(video) ?? video.currentTime;
    // Just before the frame that is shown lies the one before it. How long it lasts itself is not told, so the way
    // on is felt for.
    let at = direction < 0 ? before - 0.002 : before + frame;
    for (let tries = 0; tries < 12; tries++, at += frame / 2) {
      const shown = await frameAt(video, at);
      this.presented.set(video, shown);
      if (direction < 0 || shown > before + 0.001) break;
    }
    this.now = leader.wall;
    for (const feeder of this.feeders) if (feeder !== leader) void feeder.seek(this.now).catch(() => {});
    this.stepping = false;
    this.tell();
  }

  end(): void {
    this.ended = true;
    clearInterval(this.timer);
    cancelAnimationFrame(this.frameLoop);
    this.listeners.clear();
  }

  private tell(): void {
    const { time } = this;
    for (const listener of this.listeners) listener(time);
  }

  private change(to: Partial<PlayerState>): void {
    const old = this.state.get();
    const same = (Object.keys(to) as (keyof PlayerState)[]).every((k) => (k === "missing" ? sameSet(old.missing, to.missing) : old[k] === to[k]));
    if (!same) this.state.set({ ...old, ...to });
  }

  private tick(): void {
    const { playing, rate } = this.state.get();
    const time = this.time;
    const covered = this.feeders.map((feeder) => {
      const what = feeder.covers(time);
      const end = what.kind === "data" && playing && !feeder.ready ? feeder.stretchEnd(time) : null;
      return { feeder, what: end === null ? what : feeder.covers(end) };
    });
    const having = covered.filter(({ what }) => what.kind === "data").map(({ feeder }) => feeder);
    const missing = new Set(covered.filter(({ what }) => what.kind === "gap").map(({ feeder }) => feeder.camera));
    this.change({ missing });
    for (const feeder of this.feeders) feeder.pump();
    if (!this.leader || !having.includes(this.leader)) this.leader = having[0] ?? null;
    const { leader } = this;

    if (!leader) {
      this.change({ waiting: playing && covered.some(({ what }) => what.kind === "unknown") });
      for (const { video } of this.feeders) if (!video.paused) video.pause();
      if (playing && covered.length && covered.every(({ what }) => what.kind === "gap")) this.skip(covered.map(({ what }) => (what.kind === "gap" ? what.next : null)));
      return;
    }

    for (const feeder of having) {
      const drift = feeder.wall - time;
      const inGap = feeder.covers(feeder.wall).kind === "gap";
      if (feeder === leader) {
        // It ran on over footage that was not there yet.
        if (inGap && playing && !feeder.ready && !feeder.video.seeking) void feeder.seek(time).catch(() => {});
        continue;
      }
      // What was left in a gap waits there for footage that never comes.
      const lost = feeder.video.seeking && inGap;
      if (lost || (Math.abs(drift) > FAR + 200 * rate && !feeder.video.seeking)) void feeder.seek(time).catch(() => {});
      else if (playing) feeder.video.playbackRate = Math.min(16, Math.abs(drift) < DRIFT ? rate : rate * (drift > 0 ? 0.92 : 1.08));
    }
    leader.video.playbackRate = rate;
    if (!playing) return;
    // In step: what waits, all wait for.
    const late = having.filter((feeder) => !feeder.ready);
    this.change({ waiting: late.length > 0 });
    for (const feeder of having) {
      this.unstick(feeder);
      const may = late.length === 0 || late.includes(feeder);
      if (may && feeder.video.paused) void feeder.video.play().catch(() => {});
      else if (!may && !feeder.video.paused) feeder.video.pause();
    }
    for (const { feeder, what } of covered) if (what.kind !== "data" && !feeder.video.paused) feeder.video.pause();
  }

  /** A hole between two pieces that the list does not name is stepped over. */
  private unstick({ video }: Feeder): void {
    if (video.readyState >= 3 || video.seeking) return;
    const { buffered, currentTime } = video;
    for (let n = 0; n < buffered.length; n++) {
      const start = buffered.start(n);
      if (start > currentTime && start - currentTime < 2) {
        video.currentTime = start + 0.001;
        return;
      }
    }
  }

  /** Over a gap that all have, to where the first of them goes on. */
  private skip(next: (number | null)[]): void {
    const known = next.filter((n) => n !== null);
    if (!known.length) {
      this.pause();
      this.change({ atEnd: true });
      return;
    }
    this.seek(Math.min(...known) + 1);
  }
}

const sameSet = (a: ReadonlySet<string>, b: ReadonlySet<string> | undefined) => !!b && a.size === b.size && [...a].every((x) => b.has(x));

/** Shows the frame of a moment; when that frame begins. */
function frameAt(video: HTMLVideoElement, at: number): Promise<number> {
  return new Promise((done) => {
    const timer = setTimeout(() => done(at), 1500);
    const tell = (time: number) => {
      clearTimeout(timer);
      done(time);
    };
    if (typeof video.requestVideoFrameCallback === "function") video.requestVideoFrameCallback((_, frame) => tell(frame.mediaTime));
    else video.addEventListener("seeked", () => tell(at), { once: true });
    video.currentTime = at;
  });
}
