import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { Feeder } from "./feeder";

let sources: EventTarget[] = [];
let asked: number[] = [];

beforeEach(() => {
  [sources, asked] = [[], []];
  class Source extends EventTarget {
    readyState = "open";
    duration = 0;
    constructor() {
      super();
      sources.push(this);
    }
  }
  vi.stubGlobal("MediaSource", Source);
  vi.stubGlobal("URL", Object.assign(URL, { createObjectURL: () => "blob:x", revokeObjectURL: () => {} }));
  vi.stubGlobal("fetch", (address: string) => {
    const url = new URL(address, "http://recorder");
    if (url.pathname.endsWith("media.m3u8")) asked.push(Date.parse(url.searchParams.get("from") ?? ""));
    return Promise.resolve(new Response("{}", { status: 404, headers: { "content-type": "application/json" } }));
  });
});
afterEach(() => vi.unstubAllGlobals());

const begun = (source: EventTarget | undefined) => source?.dispatchEvent(new Event("sourceopen"));
const NOON = Date.parse("2026-05-04T12:00:00Z");

it("asks for nothing before the browser is ready, and then for the moment that is wanted", async () => {
  const feeder = new Feeder("front", document.createElement("video"));
  const there = feeder.seek(NOON);
  for (let n = 0; n < 3; n++) {
    feeder.pump();
    await Promise.resolve();
  }
  expect(asked).toEqual([]);
  begun(sources[0]);
  await there;
  expect(feeder.wall).toBe(NOON);
  await vi.waitFor(() => expect(asked).toEqual([NOON - 15_000]));
});

it("goes where it was told last, also when that was while the browser got ready", async () => {
  const feeder = new Feeder("front", document.createElement("video"));
  const all = [feeder.seek(NOON), feeder.seek(NOON + 60_000), feeder.seek(NOON + 30_000)];
  expect(sources).toHaveLength(1);
  begun(sources[0]);
  await Promise.all(all);
  expect(feeder.wall).toBe(NOON + 30_000);
  await vi.waitFor(() => expect(asked).toEqual([NOON + 15_000]));
});

/** So many seconds from `end`, all of it in the buffer, these pieces listed, and those of `taken` given to the browser. */
function nearTheEnd(listed: [number, number][], taken: number[], end: number, from = -0.2): Feeder {
  const video = document.createElement("video");
  const buffered = { length: 1, start: () => 0, end: () => end } as TimeRanges;
  Object.defineProperties(video, { buffered: { value: buffered }, seeking: { value: false } });
  video.currentTime = end + from;
  const feeder = new Feeder("front", video);
  feeder["origin"] = NOON;
  feeder["window"] = { from: NOON, to: NOON + 60_000, next: undefined };
  feeder["pieces"] = listed.map(([start, stop], n) => ({ start: NOON + start, end: NOON + stop, url: `/${n}`, range: null, head: { url: "/", range: null } }));
  for (const n of taken) feeder["appended"].set(`/${n} `, NOON);
  return feeder;
}

it("knows the end of a stretch, also where its last piece is but a frame or two", () => {
  const gap: [number, number] = [16_000, 20_000];
  for (const last of [40, 80, 200]) {
    const listed: [number, number][] = [[6000, 10_000], [10_000, 10_000 + last], gap];
    const end = (10_000 + last) / 1000;
    const behind = nearTheEnd(listed, [0, 1], end).stretchEnd(NOON + 9900);
    expect(behind, `${last} ms`).toBeGreaterThan(NOON + 10_000 + last);
    expect(behind, `${last} ms`).toBeLessThan(NOON + gap[0]);
    expect(nearTheEnd(listed, [0], end).stretchEnd(NOON + 9900), "not all of it is there").toBeNull();
  }
  expect(nearTheEnd([[6000, 10_000], gap], [0], 10).stretchEnd(NOON + 9900)).not.toBeNull();
  expect(nearTheEnd([[6000, 10_000], gap], [], 10).stretchEnd(NOON + 9900), "not fetched yet").toBeNull();
  expect(nearTheEnd([[6000, 10_000], [10_000, 14_000], gap], [0, 1], 10).stretchEnd(NOON + 9900), "a hole in the buffer is no end").toBeNull();
  expect(nearTheEnd([[6000, 10_000]], [0], 10).stretchEnd(NOON + 9900), "nothing is known of what follows").toBeNull();
});

it("knows it as well when the video ran on behind it, however far", () => {
  const listed: [number, number][] = [[2000, 6000], [6000, 10_000], [16_000, 20_000]];
  for (const behind of [0.05, 0.2, 4.6]) {
    for (const seen of [3000, 7000, 10_050]) {
      const found = nearTheEnd(listed, [0, 1], 10, behind).stretchEnd(NOON + seen);
      expect(found, `${behind} s behind, last looked at ${seen} ms`).toBe(NOON + 10_081);
    }
    expect(nearTheEnd(listed, [0], 10, behind).stretchEnd(NOON + 3000), "it ran over what is not there").toBeNull();
  }
});

it("has not shown a stretch while it waits at the end of the one before", () => {
  const listed: [number, number][] = [[6000, 10_000], [11_000, 15_000], [20_000, 24_000]];
  expect(nearTheEnd(listed, [0, 1], 10).stretchEnd(NOON + 12_000)).toBeNull();
});
