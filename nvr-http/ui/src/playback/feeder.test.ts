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
