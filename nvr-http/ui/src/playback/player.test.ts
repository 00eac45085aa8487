import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { Coverage, Feeder } from "./feeder";
import { Player } from "./player";

const NOON = Date.parse("2026-05-04T12:00:00Z");

beforeEach(() => vi.useFakeTimers({ now: NOON + 3600_000 }));
afterEach(() => vi.useRealTimers());

/** A camera with these stretches, in seconds from noon, whose video stands where it is put. */
class FakeFeeder {
  wall = NOON;
  ready = true;
  end: number | null = null;
  frame = 0.04;
  changed: (() => void) | null = null;
  video = document.createElement("video");
  constructor(
    readonly camera: string,
    readonly stretches: [number, number][],
  ) {
    Object.defineProperties(this.video, { readyState: { value: 2 }, seeking: { value: false } });
    this.video.play = () => Promise.resolve();
    this.video.pause = () => {};
  }
  covers(time: number): Coverage {
    const at = (time - NOON) / 1000;
    if (this.stretches.some(([from, to]) => from <= at && at <= to + 0.08)) return { kind: "data" };
    const next = this.stretches.find(([from]) => from > at);
    return { kind: "gap", next: next ? NOON + next[0] * 1000 : null };
  }
  stretchEnd = (time: number) => (this.end !== null && time <= this.end ? this.end : null);
  pump = () => {};
  close = () => {};
  seek = async (time: number) => {
    this.wall = time;
    this.ready = true;
    this.end = null;
  };
}

/** A player that plays these cameras from a moment on. */
function playing(from: number, ...feeders: FakeFeeder[]): Player {
  const player = new Player(from);
  for (const feeder of feeders) player.add(feeder as unknown as Feeder);
  player.play();
  vi.advanceTimersByTime(200);
  return player;
}

it("goes over a gap when its video ran on behind the footage", () => {
  const one = new FakeFeeder("one", [[0, 10], [16, 30]]);
  const player = playing(NOON + 9000, one);
  one.wall = NOON + 10_050;
  vi.advanceTimersByTime(200);
  // Nothing more in the buffer, and further from the footage than times are rounded.
  Object.assign(one, { wall: NOON + 10_200, ready: false, end: NOON + 10_081 });
  vi.advanceTimersByTime(300);
  expect(one.wall).toBe(NOON + 16_001);
  player.end();
});

it("goes back to where its video ran on over footage that was not there yet", () => {
  const one = new FakeFeeder("one", [[0, 10], [16, 30]]);
  const player = playing(NOON + 5000, one);
  Object.assign(one, { wall: NOON + 12_000, ready: false });
  vi.advanceTimersByTime(100);
  expect(one.wall).toBe(NOON + 5000);
  player.end();
});

it("takes along who waits at the end of an earlier stretch", () => {
  const leads = new FakeFeeder("leads", [[0, 60]]);
  const waits = new FakeFeeder("waits", [[0, 10], [16, 60]]);
  const player = playing(NOON + 9000, leads, waits);
  leads.wall = NOON + 12_000;
  Object.assign(waits, { wall: NOON + 9900, ready: false, end: NOON + 10_081 });
  vi.advanceTimersByTime(200);
  expect([...player.state.get().missing]).toEqual(["waits"]);
  expect(waits.wall).toBe(NOON + 9900);
  leads.wall = NOON + 17_000;
  vi.advanceTimersByTime(200);
  expect([...player.state.get().missing]).toEqual([]);
  expect(waits.wall).toBe(NOON + 17_000);
  player.end();
});
