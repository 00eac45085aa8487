import { Cushion } from "./cushion";
import { type Driver, frames, release, socketOf, until, watchFrames } from "./driver";

type MediaSourceClass = typeof MediaSource;
declare global {
  interface Window {
    /** Safari on phones has this one only. */
    ManagedMediaSource?: MediaSourceClass;
  }
}

export const mediaSource = (): MediaSourceClass | null => window.ManagedMediaSource ?? window.MediaSource ?? null;

/** What stays behind of what was shown, in seconds. */
const KEEP = 15;
/** How fast to catch up; sound bears less. */
const FASTEST = 1.25;
const FASTEST_WITH_SOUND = 1.08;
/** What comes at once when it begins is taken as one, once nothing came for so long (milliseconds). */
const TOGETHER = 12;
const TOGETHER_MOST = 80;

/** Whether sound of this description can be played along; if not, it is left out. */
function mimeWithout(mime: string): { mime: string; audio: boolean } | null {
  const Source = mediaSource();
  if (!Source) return null;
  if (Source.isTypeSupported(mime)) return { mime, audio: true };
  const video = mime.replace(/codecs="([^",]+)[^"]*"/, 'codecs="$1"');
  return Source.isTypeSupported(video) ? { mime: video, audio: false } : null;
}

/** Fragmented MP4 over a WebSocket. */
export const mse: Driver = async (stage) => {
  const { video, signal, alive, show, sampler, info } = stage;
  const Source = mediaSource();
  if (!Source) throw new Error("this browser has no MediaSource");
  const path = info?.paths.mse;
  const known = path?.ok && path.mime ? mimeWithout(path.mime) : null;
  if (path?.ok && path.mime && !known) throw new Error("this browser cannot play the codec");
  // Pictures wait for sound, and sound comes late where the recorder has to encode it.
  const audio = stage.audio && known?.audio !== false;
  const socket = socketOf(stage, "live.mp4", { audio: audio ? null : false });
  socket.binaryType = "arraybuffer";
  const source = new Source();
  const address = URL.createObjectURL(source);
  let bytes = 0;
  let lost = 0;
  let clock: { media: number; utc: number } | null = null;
  try {
    show("video");
    video.disableRemotePlayback = true;
    video.src = address;
    sampler(() => ({
      bytes,
      frames: frames(video),
      lost,
      roundTrip: null,
      latency: clock ? (Date.now() - clock.utc) / 1000 - (video.currentTime - clock.media) : null,
      width: video.videoWidth,
      height: video.videoHeight,
    }));
    return await until<string>(signal, (resolve, reject) => {
      let buffer: SourceBuffer | null = null;
      let why = "the connection was closed";
      const queue: (ArrayBuffer | { mime: string })[] = [];
      let cushion = new Cushion(audio ? FASTEST_WITH_SOUND : FASTEST);
      /** Until when what comes is only collected. */
      let collecting: { since: number; timer: ReturnType<typeof setTimeout> } | null = null;
      let collected = false;
      let headed = false;

      const next = () => {
        if (source.readyState !== "open" || buffer?.updating || collecting) return;
        const item = queue.shift();
        if (item === undefined) return tidy();
        try {
          if (item instanceof ArrayBuffer) {
            const parts = [item];
            while (queue[0] instanceof ArrayBuffer) parts.push(queue.shift() as ArrayBuffer);
            const bytes = joined(parts);
            try {
              buffer?.appendBuffer(bytes);
            } catch (e) {
              if ((e as DOMException).name !== "QuotaExceededError") throw e;
              queue.unshift(bytes);
              if (buffer && !buffer.updating && video.currentTime > 2) buffer.remove(0, video.currentTime - 1);
              else reject(new Error("the browser has no room for video"));
            }
          } else if (buffer) {
            buffer.changeType(item.mime);
            next();
          } else {
            buffer = source.addSourceBuffer(item.mime);
            buffer.addEventListener("updateend", () => {
              // Letting go of the video in the middle of an append ends that append, and the buffer then has no ranges any more.
              if (source.readyState !== "open") return;
              follow();
              next();
            });
            next();
          }
        } catch (e) {
          reject(e as Error);
        }
      };
      /** The frames since the last keyframe come at once: appended together they are decoded once. */
      const collect = () => {
        if (collected) return;
        const now = performance.now();
        const since = collecting?.since ?? now;
        clearTimeout(collecting?.timer);
        const go = () => {
          collecting = null;
          collected = true;
          next();
        };
        if (now - since > TOGETHER_MOST) go();
        else collecting = { since, timer: setTimeout(go, TOGETHER) };
      };
      const tidy = () => {
        const ranges = buffer?.buffered;
        if (!buffer || !ranges?.length || buffer.updating) return;
        const limit = video.currentTime - KEEP;
        if (limit - ranges.start(0) > KEEP) buffer.remove(0, limit);
      };
      /** Keeps close to the newest frame. */
      const follow = () => {
        const ranges = buffer?.buffered;
        if (!ranges?.length) return;
        const end = ranges.end(ranges.length - 1);
        const start = ranges.start(ranges.length - 1);
        const now = performance.now() / 1000;
        cushion.grown(end, now);
        const advice = video.seeking ? 1 : cushion.advice(end - video.currentTime, now);
        if (video.currentTime < start || advice === "jump") video.currentTime = Math.max(start, end - cushion.wanted);
        else if (video.playbackRate !== advice) video.playbackRate = advice;
        if (video.paused) void video.play().catch(() => {});
      };

      source.addEventListener("sourceopen", next);
      socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => {
        if (typeof message.data !== "string") {
          bytes += message.data.byteLength;
          queue.push(message.data);
          // The first is the head.
          if (headed) collect();
          headed = true;
          // A tab in the background may not decode; then what it missed is of no use either.
          if (queue.length > 600) return reject(new Error("the browser does not keep up"));
          return next();
        }
        const said = JSON.parse(message.data) as { type: string; mime?: string; frames?: number; why?: string; media_ms?: number; utc?: string };
        if (said.type === "init" && said.mime) {
          const usable = mimeWithout(said.mime);
          if (!usable) return reject(new Error("this browser cannot play the codec"));
          queue.push({ mime: usable.mime });
          cushion = new Cushion(audio ? FASTEST_WITH_SOUND : FASTEST);
          next();
        } else if (said.type === "lost") lost += said.frames ?? 0;
        else if (said.type === "end") why = said.why ?? why;
        else if (said.type === "clock" && said.utc) clock = { media: (said.media_ms ?? 0) / 1000, utc: Date.parse(said.utc) };
      };
      socket.onclose = () => resolve(why);
      socket.onerror = () => reject(new Error("the WebSocket cannot be opened"));
      video.onerror = () => reject(new Error(video.error?.message || "the browser cannot play it"));
      // Before the first picture it waits anyway.
      video.onwaiting = () => frames(video) && cushion.stalled();
      let last = -1;
      const moved = () => {
        // Without a picture the time stands at its begin, or may be set: nothing is shown.
        if (video.readyState < 2) return false;
        const before = last;
        last = video.currentTime;
        return last !== before;
      };
      const unwatch = watchFrames(video, moved, alive);
      return () => {
        unwatch();
        clearTimeout(collecting?.timer);
        socket.onmessage = socket.onclose = socket.onerror = null;
        video.onerror = video.onwaiting = null;
      };
    });
  } finally {
    socket.close();
    video.playbackRate = 1;
    release(video);
    URL.revokeObjectURL(address);
  }
};

function joined(parts: ArrayBuffer[]): ArrayBuffer {
  const [first] = parts;
  if (parts.length === 1 && first) return first;
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(new Uint8Array(part), at);
    at += part.byteLength;
  }
  return bytes.buffer;
}
