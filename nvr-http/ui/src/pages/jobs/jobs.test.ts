import { describe, expect, it } from "vitest";
import type { Job, NvrEvent } from "~/api/types";
import { detailOf, priorityOf, readable, timeLeft, withNews } from "./news";

const job = (id: number, more: Partial<Job> = {}) => ({ id, state: "running", progress: 0.1, message: "begun", started: "2026-01-01T00:00:00Z", ...more }) as Job;
const event = (detail: Record<string, unknown>): NvrEvent => ({ at: "", camera: null, kind: "job_changed", detail });

describe("news of a job", () => {
  const jobs = [job(1), job(2)];
  it("changes that job alone", () => {
    const fresh = withNews(jobs, event({ job: 2, state: "running", progress: 0.5, message: "writing" }));
    expect(fresh?.map((j) => [j.progress, j.message])).toEqual([[0.1, "begun"], [0.5, "writing"]]);
    expect(fresh?.[0]).toBe(jobs[0]);
    expect(jobs[1]?.progress).toBe(0.1);
  });
  it("asks for the list when more has changed", () => {
    expect(withNews(jobs, event({ job: 3, state: "running", progress: 0 }))).toBeNull();
    expect(withNews(jobs, event({ job: 1, state: "done", progress: 1 }))).toBeNull();
    expect(withNews(jobs, event({}))).toBeNull();
  });
});

it("a priority is a whole number within the bounds of the recorder", () => {
  expect(["0", "", "-1000", "1000", "1e2"].map(priorityOf)).toEqual([0, 0, -1000, 1000, 100]);
  expect(["1001", "-1001", "0.5", "high"].map(priorityOf)).toEqual([null, null, null, null]);
});

describe("sizes in the recorder's words", () => {
  it("are written as everywhere on the page", () => {
    expect(readable("46 % smaller (291469 to 156710 bytes), SSIM 0.9998")).toBe("46 % smaller (291 kB to 157 kB), SSIM 0.9998");
    expect(readable("front.mp4, 12345678 bytes")).toBe("front.mp4, 12.3 MB");
    expect(readable("45 of 100 frames")).toBe("45 of 100 frames");
  });
  it("also in details, where their names say that they are sizes", () => {
    expect(detailOf({ file: "a.mp4", size_bytes: 2_500_000, inner: { bytes: 12, frames: 150 } })).toBe('{"file":"a.mp4","size_bytes":"2.5 MB","inner":{"bytes":"12 bytes","frames":150}}');
  });
});

describe("time left", () => {
  const now = Date.parse("2026-01-01T00:00:10Z");
  it("is by the pace so far", () => {
    expect(timeLeft(job(1, { progress: 0.25 }), now)).toBeCloseTo(30);
    expect(timeLeft(job(1, { progress: 0 }), now)).toBeNull();
    expect(timeLeft(job(1, { state: "queued", progress: 0.5 }), now)).toBeNull();
  });
});
