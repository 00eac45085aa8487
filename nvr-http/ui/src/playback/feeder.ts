import { ApiError, ask, request, url } from "~/api/client";
import type { Segments } from "~/api/types";
import { store } from "~/lib/store";
import { mediaSource } from "~/live/mse";
import { type Head, readHead, readPiece } from "./boxes";
import { type Piece, following, merge, parsePlaylist, pieceAt } from "./playlist";

/** How much is looked up at once, and how near its end the next is (milliseconds). */
const WINDOW = 10 * 60_000;
const NEAR = 60_000;
/** How much is fetched ahead of what is shown, in seconds of playing. */
const AHEAD = 12;
/** What stays in memory behind and ahead of it, in seconds of footage. */
const KEEP_BEHIND = 60;
const KEEP_AHEAD = 300;
/** Times of playlists are rounded. */
const SLACK = 80;
/** A hole so long at the begin of a piece is stepped over (seconds). */
const NUDGE = 0.5;
/** Media time 0 is so long before the first moment that was asked for. */
const LEAD = 12 * 3600_000;
/** Footage that grows is looked up again after so long. */
const GROWS = 2000;

export type Coverage =
  /** There is footage. */
  | { kind: "data" }
  /** There is none before `next` (null: none that is known of). */
  | { kind: "gap"; next: number | null }
  /** Not looked up yet. */
  | { kind: "unknown" };

/** The error that says that the recorder does not answer. */
export const OFFLINE = "offline";

export interface FeederState {
  /** Waits for footage to come. */
  loading: boolean;
  error: string | null;
}

interface Window {
  from: number;
  to: number;
  /** First footage behind it, as far as that was looked up. */
  next: number | null | undefined;
}

/** Feeds one video with one camera's footage from any moment on. Media time follows the clock, gaps included. */
export class Feeder {
  readonly state = store<FeederState>({ loading: false, error: null });
  private source: MediaSource | null = null;
  private buffer: SourceBuffer | null = null;
  private address: string | null = null;
  private origin = 0;
  private pieces: Piece[] = [];
  private window: Window | null = null;
  private heads = new Map<string, Head>();
  private offsets = new Map<string, number>();
  /** Pieces given to the browser, with their begin. */
  private appended = new Map<string, number>();
  private lastHead: Head | null = null;
  private codec: "h264" | null = null;
  private fetching: AbortController | null = null;
  private looking: AbortController | null = null;
  private lookedAt = 0;
  private running = false;
  private closed = false;
  /** Where it was last told to go. */
  private target = 0;
  /** While the browser gets ready: until then the video stands at its begin, far from what was asked for. */
  private opening: Promise<void> | null = null;

  constructor(
    readonly camera: string,
    readonly video: HTMLVideoElement,
  ) {}

  /** Where it is, in Unix milliseconds. */
  get wall(): number {
    return this.origin + this.video.currentTime * 1000;
  }

  /** Frames are there to be shown now, and a few more. */
  get ready(): boolean {
    return this.video.readyState >= 3 && !this.video.seeking;
  }

  /** Told when it knows more, or has more to show. */
  changed: (() => void) | null = null;

  /** Length of a frame in seconds, as far as known. */
  frame = 1 / 25;

  covers(time: number): Coverage {
    if (pieceAt(this.pieces, time, SLACK) >= 0) return { kind: "data" };
    const w = this.window;
    if (!w || time < w.from - SLACK) return { kind: "unknown" };
    const next = this.pieces.find((p) => p.start > time)?.start;
    if (next !== undefined) return { kind: "gap", next };
    if (time < w.to) return w.next === undefined ? { kind: "unknown" } : { kind: "gap", next: w.next };
    return w.next !== undefined && (w.next === null || w.next > time) ? { kind: "gap", next: w.next } : { kind: "unknown" };
  }

  /**
   * A moment behind the stretch of footage that `time` lies in, once all of it was shown and a gap follows; null before.
   * The last frame of a stretch ends a little earlier than its list says; and without sound, on a busy machine, the video
   * runs on behind it for as long as nobody looks.
   */
  stretchEnd(time: number): number | null {
    const at = this.video.currentTime;
    const to = this.bufferedTo(at);
    const from = pieceAt(this.pieces, time, SLACK);
    const first = this.pieces[from];
    // Sound runs dry before pictures do, the sooner the faster it plays.
    const more = to - at > 0.3 + 0.25 * this.video.playbackRate;
    // Who waits at the end of an earlier stretch has not shown this one.
    if (this.video.seeking || more || !first || this.wall < first.start - SLACK) return null;
    // The last piece may be a frame or two that have a keyframe of their own.
    const rest = following(this.pieces, from, this.origin + to * 1000, SLACK);
    const last = rest.at(-1);
    if (!last || rest.some((piece) => !this.appended.has(key(piece)))) return null;
    const behind = last.end + SLACK + 1;
    return this.covers(behind).kind === "gap" ? behind : null;
  }

  /** Goes to a moment. */
  async seek(time: number): Promise<void> {
    if (this.closed) return;
    this.target = time;
    if (!this.source || time < this.origin || time > this.origin + 4 * LEAD) this.opening = this.open(time);
    const { opening } = this;
    if (opening) {
      try {
        await opening;
      } finally {
        if (this.opening === opening) this.opening = null;
      }
    }
    // It was told to go elsewhere meanwhile.
    if (this.closed || this.target !== time) return;
    const at = (time - this.origin) / 1000;
    const known = this.covers(time);
    if (known.kind === "unknown") {
      this.looking?.abort();
      this.window = null;
      this.pieces = [];
    }
    this.video.currentTime = at;
    if (!this.isBuffered(at)) {
      this.fetching?.abort();
      // The browser drops what it likes, and does not say so.
      this.appended.clear();
    }
    this.pump();
  }

  /** Called often while playing: fetches what is needed next. */
  pump(): void {
    if (this.running || this.closed || this.opening) return;
    this.running = true;
    void this.work().finally(() => {
      this.running = false;
    });
  }

  close(): void {
    this.closed = true;
    this.fetching?.abort();
    this.looking?.abort();
    this.video.removeAttribute("src");
    this.video.load();
    if (this.address) URL.revokeObjectURL(this.address);
    this.source = this.buffer = null;
  }

  private async open(time: number): Promise<void> {
    const Source = mediaSource();
    if (!Source) throw new Error("this browser has no MediaSource");
    if (this.address) URL.revokeObjectURL(this.address);
    this.origin = time - LEAD;
    this.buffer = null;
    this.lastHead = null;
    this.offsets.clear();
    this.appended.clear();
    const source = new Source();
    this.source = source;
    this.address = URL.createObjectURL(source);
    this.video.disableRemotePlayback = true;
    this.video.src = this.address;
    await new Promise<void>((done) => source.addEventListener("sourceopen", () => done(), { once: true }));
    if (source.readyState === "open") source.duration = (5 * LEAD) / 1000;
  }

  private isBuffered(at: number): boolean {
    const { buffered } = this.video;
    for (let n = 0; n < buffered.length; n++) if (buffered.start(n) - 0.05 <= at && at < buffered.end(n)) return true;
    return false;
  }

  private isWithin(at: number): boolean {
    const { buffered } = this.video;
    for (let n = 0; n < buffered.length; n++) if (buffered.start(n) <= at && at < buffered.end(n)) return true;
    return false;
  }

  /** To the begin of what is there, where it is a little later than its list says: else the browser waits for ever. */
  private nudge(): void {
    const { video } = this;
    const at = video.currentTime;
    if (!video.seeking || this.isWithin(at)) return;
    const piece = this.pieces[pieceAt(this.pieces, this.wall, SLACK)];
    if (!piece || !this.appended.has(key(piece))) return;
    const { buffered } = video;
    for (let n = 0; n < buffered.length; n++) {
      const start = buffered.start(n);
      if (start <= at) continue;
      if (start - at < NUDGE) video.currentTime = start + 0.001;
      return;
    }
  }

  /** End of what is buffered without a hole from here. */
  private bufferedTo(at: number): number {
    const { buffered } = this.video;
    let end = at;
    for (let n = 0; n < buffered.length; n++) if (buffered.start(n) - 0.1 <= end && end < buffered.end(n)) end = buffered.end(n);
    return end;
  }

  private async work(): Promise<void> {
    for (let rounds = 0; rounds < 40 && !this.closed && !this.opening; rounds++) {
      const now = this.wall;
      try {
        if (!this.window || this.isOutside(now)) await this.look(now);
        else if (now > this.window.to - NEAR && this.window.next === undefined) await this.lookFurther();
        const piece = this.wanted();
        if (!piece) break;
        if (!(await this.take(piece))) continue;
        this.set({ error: null });
      } catch (e) {
        if ((e as Error).name === "AbortError") continue;
        // fetch() fails with a TypeError where nobody answers.
        const offline = e instanceof TypeError || (e instanceof ApiError && e.kind === "offline");
        this.set({ error: offline ? OFFLINE : (e as Error).message || OFFLINE });
        await new Promise((done) => setTimeout(done, 1000));
        break;
      }
    }
    this.nudge();
    this.set({ loading: !this.ready && this.covers(this.wall).kind === "data" });
  }

  private set(change: Partial<FeederState>): void {
    const old = this.state.get();
    const next = { ...old, ...change };
    if (next.loading !== old.loading || next.error !== old.error) this.state.set(next);
  }

  /** Whether what was looked up says nothing of a moment. Behind its end is what grows. */
  private isOutside(time: number): boolean {
    const w = this.window;
    if (!w || time < w.from - SLACK) return true;
    return time > w.to + SLACK && w.next === undefined && Date.now() - w.to > 10_000 && time - w.to > NEAR;
  }

  /** Asks for the pieces around a moment. */
  private async look(time: number): Promise<void> {
    const to = Math.min(time + WINDOW, Date.now());
    // A little before, so that going back a few seconds needs no further request.
    const from = time - 15_000;
    const controller = new AbortController();
    this.looking = controller;
    const pieces = from < to ? await this.list(from, to, controller.signal) : [];
    // Elsewhere by now.
    if (controller.signal.aborted) return;
    this.pieces = pieces;
    this.window = { from, to: Math.max(from, to), next: undefined };
    this.lookedAt = Date.now();
    const made = this.window;
    if (!pieces.some((p) => p.end > time)) made.next = await this.nextAfter(time, controller.signal);
    this.changed?.();
  }

  /** Asks for the pieces behind those that are known. */
  private async lookFurther(): Promise<void> {
    const w = this.window;
    if (!w || Date.now() - this.lookedAt < GROWS) return;
    this.lookedAt = Date.now();
    const controller = new AbortController();
    this.looking = controller;
    const last = this.pieces.at(-1)?.end ?? w.to;
    const to = Math.min(w.to + WINDOW, Date.now());
    const grows = Date.now() - last < 60_000;
    const fresh = await this.list(Math.min(last, w.to), to, controller.signal);
    if (controller.signal.aborted) return;
    const found = fresh.filter((p) => p.end > last + SLACK);
    this.pieces = merge(this.pieces, found).slice(-4000);
    w.to = to;
    if (!found.length && !grows) w.next = await this.nextAfter(to, controller.signal);
  }

  private async list(from: number, to: number, signal: AbortSignal): Promise<Piece[]> {
    const iso = (time: number) => new Date(time).toISOString();
    const query = { from: iso(from), to: iso(to), codec: this.codec };
    try {
      const answer = await request(`/cameras/${this.camera}/media.m3u8`, { query, signal, headers: { accept: "*/*" } });
      return parsePlaylist(await answer.text(), new URL(url(`/cameras/${this.camera}/media.m3u8`), document.baseURI).href).pieces;
    } catch (e) {
      if (e instanceof ApiError && e.status === 404) return [];
      throw e;
    }
  }

  /** Begin of the first footage behind a moment. */
  private async nextAfter(time: number, signal: AbortSignal): Promise<number | null> {
    const query = { from: new Date(time).toISOString(), to: new Date(Date.now() + 60_000).toISOString(), limit: 1 };
    const { segments } = await ask<Segments>(`/cameras/${this.camera}/segments`, { query, signal });
    const first = segments[0];
    return first ? Math.max(Date.parse(first.start), time + 1) : null;
  }

  /** The piece to fetch next, if more is needed. */
  private wanted(): Piece | null {
    const { video } = this;
    // What begins a little behind the moment does not show it.
    const end = this.isWithin(video.currentTime) ? this.bufferedTo(video.currentTime) : video.currentTime;
    const ahead = AHEAD * Math.max(1, video.playbackRate);
    if (end - video.currentTime >= ahead) return null;
    const time = this.origin + end * 1000;
    let n = pieceAt(this.pieces, time + 1, 0);
    if (n < 0) n = this.pieces.findIndex((p) => p.start >= time);
    // What was appended and yet is not in the buffer would be asked for again for ever: go on behind it.
    while (n >= 0) {
      const piece = this.pieces[n];
      if (!piece) return null;
      if (piece.start > this.wall + ahead * 1000) return null;
      if (!this.appended.has(key(piece))) return piece;
      n += 1;
    }
    return null;
  }

  private async headOf(piece: Piece, signal: AbortSignal): Promise<Head> {
    const name = `${piece.head.url} ${piece.head.range?.first ?? ""}`;
    const known = this.heads.get(name);
    if (known) return known;
    const head = readHead(await load(piece.head.url, piece.head.range, signal));
    if (this.heads.size > 200) this.heads.clear();
    this.heads.set(name, head);
    return head;
  }

  /** Fetches a piece and appends it; false if it has to be looked up again. */
  private async take(piece: Piece): Promise<boolean> {
    const controller = new AbortController();
    this.fetching = controller;
    const { signal } = controller;
    const [head, bytes] = await Promise.all([this.headOf(piece, signal), load(piece.url, piece.range, signal)]).catch((e: unknown) => {
      // Encoded again meanwhile: its list is out of date.
      if (e instanceof ApiError && e.status === 404) {
        this.window = null;
        return [null, null] as const;
      }
      throw e;
    });
    if (!head || !bytes || !this.source || this.source.readyState !== "open") return false;
    const Source = mediaSource();
    if (!Source?.isTypeSupported(head.mime)) {
      if (this.codec || !/codecs="h(vc|ev)1/.test(head.mime)) throw new Error(`this browser cannot play ${head.video.codec}`);
      // H.265 where the browser has none: the recorder encodes it as H.264 on the way.
      this.codec = "h264";
      this.window = null;
      this.pieces = [];
      return false;
    }
    const begin = readPiece(bytes, head);
    const file = piece.head.url;
    let offset = this.offsets.get(file);
    if (offset === undefined) {
      offset = (piece.start - this.origin) / 1000 - (begin ?? 0);
      this.offsets.set(file, offset);
    }
    if (!this.buffer) this.buffer = this.source.addSourceBuffer(head.mime);
    else if (this.lastHead && this.lastHead.mime !== head.mime) this.buffer.changeType(head.mime);
    const { buffer } = this;
    if (this.lastHead !== head) {
      await append(buffer, head.bytes);
      this.lastHead = head;
    }
    buffer.timestampOffset = offset;
    try {
      await append(buffer, bytes);
    } catch (e) {
      if ((e as Error).name !== "QuotaExceededError") throw e;
      await this.evict(10, 20);
      await append(buffer, bytes);
    }
    this.appended.set(key(piece), piece.start);
    this.changed?.();
    if (this.video.buffered.length > 1 || this.appended.size % 16 === 0) await this.evict(KEEP_BEHIND, KEEP_AHEAD);
    return true;
  }

  private async evict(behind: number, ahead: number): Promise<void> {
    const { buffer, video } = this;
    if (!buffer || this.source?.readyState !== "open") return;
    const [low, high] = [video.currentTime - behind, video.currentTime + ahead];
    for (let n = buffer.buffered.length - 1; n >= 0; n--) {
      const [start, end] = [buffer.buffered.start(n), buffer.buffered.end(n)];
      if (start < low) await drop(buffer, start, Math.min(end, low));
      if (end > high) await drop(buffer, Math.max(start, high), end);
    }
    for (const [name, start] of this.appended) {
      const at = (start - this.origin) / 1000;
      if (at < low || at > high) this.appended.delete(name);
    }
  }
}

/** With its length: what grows is another piece when it is longer. */
const key = (piece: Piece) => `${piece.url} ${piece.range ? `${piece.range.first}+${piece.range.length}` : ""}`;

async function load(address: string, range: Piece["range"], signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const headers: Record<string, string> = range ? { range: `bytes=${range.first}-${range.first + range.length - 1}` } : {};
  const answer = await fetch(address, { headers, signal, credentials: "same-origin" });
  if (!answer.ok) throw new ApiError(answer.status, { type: "http", title: answer.statusText, status: answer.status, detail: `${answer.status} ${answer.statusText}` });
  return new Uint8Array(await answer.arrayBuffer());
}

function finished(buffer: SourceBuffer): Promise<void> {
  return new Promise((done, failed) => {
    const end = (settle: () => void) => () => {
      buffer.removeEventListener("updateend", good);
      buffer.removeEventListener("error", bad);
      settle();
    };
    const good = end(done);
    const bad = end(() => failed(new Error("the browser cannot read this footage")));
    buffer.addEventListener("updateend", good);
    buffer.addEventListener("error", bad);
  });
}

async function append(buffer: SourceBuffer, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const done = finished(buffer);
  try {
    buffer.appendBuffer(bytes);
  } catch (e) {
    void done.catch(() => {});
    throw e;
  }
  await done;
}

async function drop(buffer: SourceBuffer, from: number, to: number): Promise<void> {
  if (to - from < 0.01) return;
  const done = finished(buffer);
  buffer.remove(Math.max(0, from), to);
  await done;
}
