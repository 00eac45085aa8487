import { describe, expect, it } from "vitest";
import { Cushion } from "./cushion";

/** Frames of a 25th of a second, each so much later than it could be. */
function feed(cushion: Cushion, from: number, count: number, late: (n: number) => number): number {
  for (let n = from; n < from + count; n++) cushion.grown((n + 1) / 25, 100 + n / 25 + late(n));
  return 100 + (from + count - 1) / 25;
}

describe("how close to the newest frame live video is played", () => {
  it("is close where frames come evenly", () => {
    const cushion = new Cushion(1.2);
    const now = feed(cushion, 0, 100, () => 0);
    expect(cushion.wanted).toBeGreaterThanOrEqual(0.06);
    expect(cushion.wanted).toBeLessThan(0.08);
    expect(cushion.advice(0.07, now)).toBe(1);
  });
  it("keeps more where they do not, and less again later", () => {
    const cushion = new Cushion(1.2);
    feed(cushion, 0, 100, (n) => (n % 5 === 0 ? 0.2 : 0));
    expect(cushion.wanted).toBeGreaterThan(0.2);
    feed(cushion, 100, 25 * 60, () => 0);
    expect(cushion.wanted).toBeLessThan(0.09);
  });
  it("learns nothing wrong from what comes at once when it begins", () => {
    const cushion = new Cushion(1.2);
    for (let n = 0; n < 50; n++) cushion.grown((n + 1) / 25, 10 + n / 10_000);
    expect(cushion.wanted).toBeLessThan(0.1);
    expect(cushion.advice(0.5, 10.01)).toBe("jump");
  });
  it("catches up later by playing faster, and jumps only far", () => {
    const cushion = new Cushion(1.2);
    const now = feed(cushion, 0, 100, () => 0);
    expect(cushion.advice(0.2, now)).toBeGreaterThan(1);
    expect(cushion.advice(0.8, now)).toBe(1.2);
    expect(cushion.advice(2, now)).toBe("jump");
  });
  it("does not jump again before the last jump can be seen", () => {
    const cushion = new Cushion(1.2);
    for (let n = 0; n < 50; n++) cushion.grown((n + 1) / 25, 10 + n / 10_000);
    expect(cushion.advice(1.9, 10.01)).toBe("jump");
    for (const now of [10.05, 10.5, 12]) expect(cushion.advice(2.5, now)).toBe(1.2);
    expect(cushion.advice(2.5, 15)).toBe("jump");
  });
  it("grows when it ran dry, within bounds", () => {
    const cushion = new Cushion(1.2);
    feed(cushion, 0, 50, () => 0);
    const before = cushion.wanted;
    cushion.stalled();
    expect(cushion.wanted).toBeGreaterThan(before);
    for (let n = 0; n < 100; n++) cushion.stalled();
    expect(cushion.wanted).toBeLessThan(1);
  });
  it("waits for seldom frames", () => {
    const cushion = new Cushion(1.2);
    for (let n = 0; n < 20; n++) cushion.grown((n + 1) / 2, 50 + n / 2);
    expect(cushion.wanted).toBeGreaterThanOrEqual(0.5);
  });
});
