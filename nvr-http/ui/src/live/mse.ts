import { socketAt } from "~/lib/base";
import { type Driver, frames, release, until } from "./driver";

type MediaSourceClass = typeof MediaSource;
declare global {
  interface Window {
    /** Safari on phones has this one only. */
    ManagedMediaSource?: MediaSourceClass;
  }
}

export const mediaSource = (): MediaSourceClass | null => window.ManagedMediaSource ?? window.MediaSource ?? null;

/** How far behind the newest frame is too far (seconds): then time runs faster, or jumps. */
const HURRY = 0.6;
const JUMP = 3;
/** What stays behind of what was shown. */
const KEEP = 15;

/** Whether sound of this description can be played along; if not, it is left out. */
function mimeWithout(mime: string): { mime: string; audio: boolean } | null {
  const Source = mediaSource();
  if (!Source) return null;
  if (Source.isTypeSupported(mime)) return { mime, audio: true };
  const video = mime.replace(/codecs="([^",]+)[^"]*"/, 'codecs="$1"');
  return Source.isTypeSupported(video) ? { mime: video, audio: false } : null;
}

/** Fragmented MP4 over a WebSocket. */
export const mse: Driver = async ({ camera, video, signal, alive, show, sampler, info }) => {
  const Source = mediaSource();
  if (!Source) throw new Error("this browser has no MediaSource");
  const path = info?.paths.mse;
  const known = path?.ok && path.mime ? mimeWithout(path.mime) : null;
  if (path?.ok && path.mime && !known) throw new Error("this browser cannot play the codec");
  const socket = new WebSocket(socketAt(`/api/v1/cameras/${camera}/live.mp4${known?.audio === false ? "?audio=false" : ""}`));
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

      const next = () => {
        if (source.readyState !== "open" || buffer?.updating) return;
        const item = queue.shift();
        if (item === undefined) return tidy();
        try {
          if (item instanceof ArrayBuffer) buffer?.appendBuffer(item);
          else if (buffer) {
            buffer.changeType(item.mime);
            next();
          } else {
            buffer = source.addSourceBuffer(item.mime);
            buffer.addEventListener("updateend", () => {
              follow();
              next();
            });
            next();
          }
        } catch (e) {
          if ((e as DOMException).name === "QuotaExceededError" && item instanceof ArrayBuffer) {
            queue.unshift(item);
            if (buffer && !buffer.updating && video.currentTime > 2) buffer.remove(0, video.currentTime - 1);
            else reject(new Error("the browser has no room for video"));
          } else reject(e as Error);
        }
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
        const behind = end - video.currentTime;
        if (video.currentTime < start || behind > JUMP) video.currentTime = Math.max(start, end - 0.1);
        else video.playbackRate = behind > HURRY ? 1.08 : 1;
        if (video.paused) void video.play().catch(() => {});
      };

      source.addEventListener("sourceopen", next);
      socket.onmessage = (message: MessageEvent<string | ArrayBuffer>) => {
        if (typeof message.data !== "string") {
          bytes += message.data.byteLength;
          queue.push(message.data);
          // A tab in the background may not decode; then what it missed is of no use either.
          if (queue.length > 600) return reject(new Error("the browser does not keep up"));
          return next();
        }
        const said = JSON.parse(message.data) as { type: string; mime?: string; frames?: number; why?: string; media_ms?: number; utc?: string };
        if (said.type === "init" && said.mime) {
          const usable = mimeWithout(said.mime);
          if (!usable) return reject(new Error("this browser cannot play the codec"));
          queue.push({ mime: usable.mime });
          next();
        } else if (said.type === "lost") lost += said.frames ?? 0;
        else if (said.type === "end") why = said.why ?? why;
        else if (said.type === "clock" && said.utc) clock = { media: (said.media_ms ?? 0) / 1000, utc: Date.parse(said.utc) };
      };
      socket.onclose = () => resolve(why);
      socket.onerror = () => reject(new Error("the WebSocket cannot be opened"));
      video.onerror = () => reject(new Error(video.error?.message || "the browser cannot play it"));
      let last = -1;
      const watch = setInterval(() => {
        if (video.currentTime !== last) alive();
        last = video.currentTime;
      }, 250);
      return () => {
        clearInterval(watch);
        socket.onmessage = socket.onclose = socket.onerror = null;
        video.onerror = null;
      };
    });
  } finally {
    socket.close();
    video.playbackRate = 1;
    release(video);
    URL.revokeObjectURL(address);
  }
};
