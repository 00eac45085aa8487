import { Cushion } from "./cushion";
import { type Driver, addressOf, frames, release, until, watchFrames } from "./driver";

/** Low-latency HLS: by the browser itself, or by hls.js, which is fetched only now. */
export const hls: Driver = async (stage) => {
  const { video, signal, alive, show, sampler } = stage;
  const address = addressOf(stage, "live.m3u8");
  const native = !window.MediaSource && !!video.canPlayType("application/vnd.apple.mpegurl");
  const Hls = native ? null : (await import("hls.js/light")).default;
  if (Hls && !Hls.isSupported()) throw new Error("this browser cannot play HLS");
  let bytes = 0;
  let latency: number | null = null;
  // Its worker would come from a blob, which the page's policy does not allow.
  const player = Hls ? new Hls({ lowLatencyMode: true, enableWorker: false, backBufferLength: 15, manifestLoadPolicy: { default: { maxTimeToFirstByteMs: 8000, maxLoadTimeMs: 10_000, timeoutRetry: null, errorRetry: null } } }) : null;
  try {
    show("video");
    if (player && Hls) {
      // It would keep three parts in hand, and never catch up: this keeps as much as the parts' coming needs.
      const cushion = new Cushion(1.08);
      player.on(Hls.Events.BUFFER_APPENDED, () => {
        const { buffered } = video;
        if (!buffered.length || video.readyState < 2 || video.seeking) return;
        const end = buffered.end(buffered.length - 1);
        const now = performance.now() / 1000;
        cushion.grown(end, now);
        const advice = cushion.advice(end - video.currentTime, now);
        if (advice === "jump") video.currentTime = Math.max(buffered.start(buffered.length - 1), end - cushion.wanted);
        else if (video.playbackRate !== advice) video.playbackRate = advice;
      });
      video.onwaiting = () => frames(video) && cushion.stalled();
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
      const moved = () => {
        if (video.paused) void video.play().catch(() => {});
        // Without a picture the time stands at its begin, or may be set: nothing is shown.
        if (video.readyState < 2) return false;
        const before = last;
        last = video.currentTime;
        return last !== before;
      };
      const unwatch = watchFrames(video, moved, alive);
      return () => {
        unwatch();
        video.onended = video.onerror = video.onwaiting = null;
      };
    });
  } finally {
    player?.destroy();
    video.playbackRate = 1;
    release(video);
  }
};
