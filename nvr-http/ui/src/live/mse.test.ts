import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { Stage } from "./driver";
import { mse } from "./mse";

const MIME = 'video/mp4; codecs="avc1.64001f"';

class Buffer extends EventTarget {
  updating = false;
  removed = false;
  asked = 0;
  get buffered(): TimeRanges {
    this.asked++;
    if (this.removed) throw new DOMException("This SourceBuffer has been removed from the parent media source.", "InvalidStateError");
    return { length: 1, start: () => 0, end: () => 1 };
  }
  appendBuffer() {
    this.updating = true;
  }
  /** What it was given is in. */
  done() {
    this.updating = false;
    this.dispatchEvent(new Event("updateend"));
  }
}

class Source extends EventTarget {
  static last: Source;
  static isTypeSupported = () => true;
  readyState = "closed";
  buffer: Buffer | null = null;
  constructor() {
    super();
    Source.last = this;
  }
  open() {
    this.readyState = "open";
    this.dispatchEvent(new Event("sourceopen"));
  }
  addSourceBuffer() {
    this.buffer = new Buffer();
    return this.buffer;
  }
  /** As a browser does when the video has another source. */
  detach() {
    this.readyState = "closed";
    if (this.buffer) this.buffer.removed = true;
  }
}

class Socket {
  static last: Socket;
  onmessage: ((message: { data: unknown }) => void) | null = null;
  constructor() {
    Socket.last = this;
  }
  close() {}
}

function stage(signal: AbortSignal): Stage {
  const video = document.createElement("video");
  Object.assign(video, { load: () => Source.last.detach(), play: () => Promise.resolve(), pause: () => {} });
  return {
    camera: "front",
    stream: "main",
    audio: false,
    video,
    image: document.createElement("img"),
    info: { codec: "avc1.64001f", width: 16, height: 16, audio: null, b_frames: false, paths: { mse: { ok: true, mime: MIME } } } as unknown as Stage["info"],
    width: () => 16,
    signal,
    alive: () => {},
    show: () => {},
    sampler: () => {},
  };
}

describe("fragments over a WebSocket", () => {
  beforeEach(() => {
    vi.stubGlobal("MediaSource", Source);
    vi.stubGlobal("WebSocket", Socket);
    vi.stubGlobal("URL", Object.assign(URL, { createObjectURL: () => "blob:none", revokeObjectURL: () => {} }));
  });
  afterEach(() => vi.unstubAllGlobals());

  async function appending(signal: AbortSignal) {
    const shown = mse(stage(signal));
    Source.last.open();
    Socket.last.onmessage?.({ data: JSON.stringify({ type: "init", mime: MIME }) });
    Socket.last.onmessage?.({ data: new ArrayBuffer(8) });
    const { buffer } = Source.last;
    if (!buffer) throw new Error("nothing was appended");
    expect(buffer.updating).toBe(true);
    return { shown, buffer };
  }

  it("follows the newest frame after each append", async () => {
    const stop = new AbortController();
    const { shown, buffer } = await appending(stop.signal);
    const { asked } = buffer;
    buffer.done();
    expect(buffer.asked).toBeGreaterThan(asked);
    stop.abort();
    await expect(shown).rejects.toThrow("stopped");
  });

  it("bears that it is stopped in the middle of an append", async () => {
    const mistakes: unknown[] = [];
    const told = (e: ErrorEvent) => {
      e.preventDefault();
      mistakes.push(e.error);
    };
    window.addEventListener("error", told);
    const stop = new AbortController();
    const { shown, buffer } = await appending(stop.signal);
    stop.abort();
    await expect(shown).rejects.toThrow("stopped");
    const { asked } = buffer;
    buffer.done();
    expect(buffer.asked).toBe(asked);
    window.removeEventListener("error", told);
    expect(mistakes).toEqual([]);
  });
});
