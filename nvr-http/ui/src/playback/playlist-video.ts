import Hls from "hls.js/light";

/** Plays a playlist in a video, by the browser itself or by hls.js; ends what was begun when it is called. */
export function playPlaylist(video: HTMLVideoElement, address: string, failed: () => void): () => void {
  const bad = () => failed();
  if (!Hls.isSupported()) {
    video.addEventListener("error", bad);
    video.src = address;
    return () => video.removeEventListener("error", bad);
  }
  // Its worker would come from a blob, which the page's policy does not allow. Encoding takes its time.
  const slow = { maxTimeToFirstByteMs: 60_000, maxLoadTimeMs: 120_000, timeoutRetry: { maxNumRetry: 2, retryDelayMs: 1000, maxRetryDelayMs: 5000 }, errorRetry: { maxNumRetry: 8, retryDelayMs: 1500, maxRetryDelayMs: 8000 } };
  const player = new Hls({ enableWorker: false, maxBufferLength: 20, backBufferLength: 60, fragLoadPolicy: { default: slow } });
  player.on(Hls.Events.ERROR, (_, data) => {
    if (data.fatal) failed();
  });
  player.loadSource(address);
  player.attachMedia(video);
  return () => player.destroy();
}
