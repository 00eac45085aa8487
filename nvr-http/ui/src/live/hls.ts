import { url } from "~/api/client";
import { type Driver, frames, release, until } from "./driver";

/** Low-latency HLS: by the browser itself, or by hls.js, which is fetched only now. */
export const hls: Driver = async ({ camera, video, signal, alive, show, sampler }) => {
  const address = url(`/cameras/${camera}/live.m3u8`);
  const native = !window.MediaSource && !!video.canPlayType("application/vnd.apple.mpegurl");
  const Hls = native ? null : (await import("hls.js/light")).default;
  if (Hls && !Hls.isSupported()) throw new Error("this browser cannot play HLS");
  let bytes = 0;
  let latency: number | null = null;
  // Its worker would come from a blob, which the page's policy does not allow.
  const player = Hls ? new Hls({ lowLatencyMode: true, enableWorker: false, backBufferLength: 15, liveSyncDuration: 1, manifestLoadPolicy: { default: { maxTimeToFirstByteMs: 8000, maxLoadTimeMs: 10_000, timeoutRetry: null, errorRetry: null } } }) : null;
  try {
    show("video");
    if (player && Hls) {
      player.on(Hls.Events.FRAG_LOADED, (_, data) => {
        bytes += data.part?.stats.loaded ?? data.frag.stats.loaded;
      });
      player.loadSource(address);
      player.attachMedia(video);
    } else video.src = address;
    sampler(() => {
      latency = player && Number.isFinite(player.latency) ? player.latency : null;
      return { bytes: player ? bytes : null, frames: frames(video), lost: null, roundTrip: null, latency, width: video.videoWidth, height: video.videoHeight };
    });
    return await until<string>(signal, (resolve, reject) => {
      player?.on(Hls!.Events.ERROR, (_, data) => {
        if (data.fatal) reject(new Error(data.error?.message ?? data.details));
      });
      video.onended = () => resolve("the stream ended");
      video.onerror = () => reject(new Error(video.error?.message || "the browser cannot play it"));
      let last = -1;
      const watch = setInterval(() => {
        if (video.paused) void video.play().catch(() => {});
        if (video.currentTime !== last) alive();
        last = video.currentTime;
      }, 250);
      return () => {
        clearInterval(watch);
        video.onended = video.onerror = null;
      };
    });
  } finally {
    player?.destroy();
    release(video);
  }
};
