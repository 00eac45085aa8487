import { describe, expect, it } from "vitest";
import type { CameraStorage } from "~/api/manage";
import { cleanupTotal, diskParts, hereOf, meanRate } from "./sums";

const camera = (size_bytes: number, recorded_seconds = 0) => ({ size_bytes, recorded_seconds }) as CameraStorage;
const disk = (total: number, available: number, min: number) => ({ disk_total_bytes: total, disk_available_bytes: available, disk_min_free_bytes: min });

describe("the disk", () => {
  it("is footage, other things, a reserve and what is free", () => {
    expect(diskParts(disk(100, 40, 10), 35)).toEqual({ footage: 35, other: 25, reserve: 10, free: 30, markAt: 0.9 });
  });
  it("can be fuller than wanted, and have less on it than there is footage", () => {
    expect(diskParts(disk(100, 4, 10), 20)).toMatchObject({ reserve: 4, free: 0 });
    expect(diskParts(disk(100, 90, 10), 50)).toMatchObject({ other: 0 });
    expect(diskParts(disk(0, 0, 0), 0)).toMatchObject({ markAt: 1 });
  });
  it("does not hold what moved to the second root", () => {
    expect(hereOf(camera(100))).toBe(100);
    expect(hereOf({ ...camera(100), tier_bytes: 60 })).toBe(40);
  });
});

describe("sums", () => {
  it("of bit rates and of what is deleted", () => {
    expect(meanRate(camera(1000, 4))).toBe(2000);
    expect(meanRate(camera(1000))).toBe(0);
    expect(cleanupTotal({ dry_run: true, more: false, short_bytes: 0, failed: [], deleted: [{ segments: 2, size_bytes: 10 }, { segments: 1, size_bytes: 5 }] as never })).toEqual({ segments: 3, bytes: 15 });
  });
});
