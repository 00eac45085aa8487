// Live video: reads the segment that is being written as it grows and feeds it to Media Source Extensions.

import { ask, codecName, iso, now } from "./common.js";

const POLL_MS = 400;
const BEHIND_S = 1.2; // Distance to the newest frame that playback is started at.
const LOST_S = 6; // From this distance on it jumps.
const KEEP_S = 60;

const pause = (ms, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

/** The newest segment, if it is being written. */
async function growing(base, signal) {
  const { segments } = await ask(`${base}/segments?order=desc&limit=1`, { signal });
  const newest = segments[0];
  return newest?.state === "open" && newest.container === "fmp4" ? newest : null;
}

/** Where the newest group of pictures begins, with its codecs: as the playlists of the last seconds say. */
async function edge(base, segment, signal) {
  const range = `from=${iso(Math.max(Date.parse(segment.start), now() - 10_000))}&to=${iso(now() + 60_000)}`;
  const master = await ask(`${base}/vod.m3u8?${range}`, { signal });
  const media = await ask(`${base}/media.m3u8?${range}`, { signal });
  const maps = [...media.matchAll(/#EXT-X-MAP:URI="([^"]+)",BYTERANGE="(\d+)@0"/g)];
  const groups = [...media.matchAll(/#EXT-X-BYTERANGE:\d+@(\d+)\n(\S+)/g)];
  const last = groups.at(-1);
  const map = last && maps.findLast((m) => m[1] === last[2]);
  if (!map || !last[2].endsWith(`/${segment.id}.mp4`)) return null;
  // Time of the group: that of its part's first one and the lengths before it.
  const part = media.slice(media.lastIndexOf("#EXT-X-PROGRAM-DATE-TIME:"));
  const lengths = [...part.matchAll(/#EXTINF:([\d.]+),/g)].slice(0, -1);
  const at = Date.parse(part.slice(25, part.indexOf("\n"))) + lengths.reduce((sum, m) => sum + m[1] * 1000, 0);
  return { codecs: /CODECS="([^"]+)"/.exec(master)?.[1], header: Number(map[2]), offset: Number(last[1]), at };
}

async function bytes(id, first, last, signal) {
  const range = `bytes=${first}-${last ?? ""}`;
  const response = await fetch(`/api/v1/segments/${id}`, { signal, cache: "no-store", headers: { range } });
  if (response.status !== 206) throw new Error(`the segment cannot be read (${response.status})`);
  return response.arrayBuffer();
}

/** What there is from an offset on. Asks for the byte before, too: a range behind the end would be an error. */
async function more(id, offset, signal) {
  const first = Math.max(0, offset - 1);
  return (await bytes(id, first, null, signal)).slice(offset - first);
}

function change(buffer, act) {
  return new Promise((resolve, reject) => {
    buffer.addEventListener("updateend", resolve, { once: true });
    buffer.addEventListener("error", () => reject(new Error("the browser cannot read this stream")), { once: true });
    act();
  });
}

/**
 * Plays until `signal` is aborted. Resolves to a reason when there is no video to play (nothing is being
 * recorded, or this browser cannot); `started(utcOf)` is called when it plays.
 */
export async function playLive(video, base, signal, started) {
  if (!window.MediaSource) return "this browser has no Media Source Extensions";
  for (;;) {
    const segment = await growing(base, signal);
    if (!segment) return "nothing is being recorded";
    const from = await edge(base, segment, signal);
    if (!from) { await pause(POLL_MS, signal); continue; } // It began this moment.
    const type = `video/mp4; codecs="${from.codecs}"`;
    if (!MediaSource.isTypeSupported(type)) return `this browser cannot play ${codecName(segment.tracks.video.codec)}`;
    await run(video, base, segment, from, type, signal, started);
    // The run ended (the camera was lost, or its format changed): what follows is played anew.
    await pause(POLL_MS, signal);
  }
}

async function run(video, base, segment, from, type, signal, started) {
  const source = new MediaSource();
  const url = URL.createObjectURL(source);
  video.src = url;
  try {
    await new Promise((resolve, reject) => {
      source.addEventListener("sourceopen", resolve, { once: true });
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    const buffer = source.addSourceBuffer(type);
    const append = (bytes) => bytes.byteLength && change(buffer, () => buffer.appendBuffer(bytes));
    await append(await bytes(segment.id, 0, from.header - 1, signal));
    let offset = from.offset;
    let utc = null;
    let quiet = 0;
    for (;;) {
      const grown = await more(segment.id, offset, signal);
      await append(grown);
      offset += grown.byteLength;
      quiet = grown.byteLength ? 0 : quiet + 1;
      const held = buffer.buffered;
      if (held.length) {
        const end = held.end(held.length - 1);
        if (!utc) {
          const zero = from.at - held.start(0) * 1000;
          utc = (time) => zero + time * 1000;
          video.currentTime = Math.max(held.start(0), end - BEHIND_S);
          video.play().catch(() => {});
          started(utc);
        } else if (!video.paused && end - video.currentTime > LOST_S) {
          video.currentTime = end - BEHIND_S;
        }
        if (video.currentTime - held.start(0) > 2 * KEEP_S) {
          await change(buffer, () => buffer.remove(0, video.currentTime - KEEP_S));
        }
      }
      if (quiet > 2) {
        const next = await growing(base, signal);
        if (next && next.id !== segment.id) {
          // Times go on within a run; another one, or another format, begins anew.
          const same = next.run === segment.run && JSON.stringify(next.tracks) === JSON.stringify(segment.tracks);
          if (!same) return;
          segment = next;
          offset = 0;
        } else if (!next) return;
        quiet = 0;
      }
      await pause(POLL_MS, signal);
    }
  } finally {
    URL.revokeObjectURL(url);
  }
}
