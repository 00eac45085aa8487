import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LiveInfo } from "~/api/types";
import { plan } from "./view";

const info: LiveInfo = {
  codec: "avc1.64001f",
  width: 1280,
  height: 720,
  audio: null,
  b_frames: true,
  paths: { whep: { ok: false, why: "it has B-frames" }, mse: { ok: true, mime: 'video/mp4; codecs="avc1.64001f"' }, hls: { ok: true }, preview: { ok: true }, mjpeg: { ok: true } },
};

describe("which way a camera is shown", () => {
  beforeEach(() => {
    vi.stubGlobal("MediaSource", class {});
    vi.stubGlobal("RTCPeerConnection", class {});
  });
  afterEach(() => vi.unstubAllGlobals());

  it("takes what the recorder offers, the fastest first, and says why not the others", () => {
    const { paths, reasons } = plan(info, new Map(), null, 0);
    expect(paths).toEqual(["mse", "hls", "preview", "mjpeg", "pictures"]);
    expect(reasons).toEqual({ whep: "it has B-frames" });
  });
  it("leaves out for a while what failed", () => {
    const shunned = new Map([["mse" as const, { until: 1000, why: "it broke" }]]);
    expect(plan(info, shunned, null, 999).paths[0]).toBe("hls");
    expect(plan(info, shunned, null, 999).reasons.mse).toBe("it broke");
    expect(plan(info, shunned, null, 1001).paths[0]).toBe("mse");
  });
  it("keeps to the way somebody chose, even if it failed", () => {
    const shunned = new Map([["mse" as const, { until: 1000, why: "it broke" }]]);
    expect(plan(info, shunned, "mse", 0).paths).toEqual(["mse"]);
    expect(plan(info, shunned, "whep", 0)).toEqual({ paths: [], reasons: { whep: "it has B-frames" } });
  });
  it("has pictures where the recorder has no live paths", () => {
    expect(plan(null, new Map(), null, 0).paths).toEqual(["pictures"]);
  });
  it("asks for no stills of a camera that sends nothing", () => {
    const away: LiveInfo = { ...info, codec: null, width: null, height: null, paths: { whep: { ok: false, why: "nobody answers" } } };
    expect(plan(away, new Map(), null, 0)).toMatchObject({ paths: [], reasons: { pictures: "nobody answers" } });
    expect(plan(away, new Map(), "pictures", 0).paths).toEqual([]);
  });
  it("uses what the browser has", () => {
    vi.stubGlobal("MediaSource", undefined);
    expect(plan(info, new Map(), null, 0).paths[0]).toBe("hls");
  });
});
