import { describe, expect, it } from "vitest";
import type { Detection } from "~/api/detections";
import { clustered } from "./clusters";

const seen = (id: number, from: number, to: number | null, score = 1): Detection => ({ id, camera: "a", kind: "motion", label: null, zone: null, score, from: new Date(from).toISOString(), to: to === null ? null : new Date(to).toISOString(), best_at: new Date(from).toISOString(), source: null });

describe("marks of what was seen", () => {
  const view = { from: 0, to: 100_000 };
  it("are one where they would touch, named by the surest", () => {
    const marks = clustered([seen(3, 50_000, 51_000), seen(1, 1000, 2000, 0.5), seen(2, 1500, 2500, 0.9)], view, 1000);
    expect(marks.map((m) => [m.best.id, m.count])).toEqual([[2, 2], [3, 1]]);
  });
  it("leave out what is not in view, and reach to now while it goes on", () => {
    expect(clustered([seen(1, -5000, -1000), seen(2, 200_000, null)], view, 1000, 300_000)).toEqual([]);
    expect(clustered([seen(1, -5000, null)], view, 1000, 40_000)[0]).toMatchObject({ start: -5000, end: 40_000 });
    expect(clustered([seen(1, 1000, 2000)], view, 0)).toEqual([]);
  });
});
