import { describe, expect, it } from "vitest";
import type { Camera } from "~/api/types";
import { matches, readLine, withLines } from "./lines";
import { rates, readMachine } from "./read";

describe("figures of the machine", () => {
  it("are read, whichever of them there are", () => {
    const m = readMachine({ version: { nvr: "1.2", gstreamer: "1.22" }, disks: [{ of: "database", total_bytes: 1 }, { of: "recordings", total_bytes: 9, available_bytes: 4 }], uptime: { process_seconds: 1, machine_seconds: 2 }, threads: 7, cpu: { process_percent: 12.5, machine_percent: 40, cores: 4 }, memory: { process_bytes: 10, total_bytes: 100, available_bytes: 30 }, load: [1, 2, 3], pipelines: [{ camera: "front", threads: 3 }] });
    expect(m).toMatchObject({ cpu: { process: 12.5, machine: 40, cores: 4 }, memory: { process: 10, used: 70, total: 100 }, load: [1, 2, 3], versions: [["nvr", "1.2"], ["gstreamer", "1.22"]], disk: { available: 4, total: 9 }, uptime: 2, threads: 7 });
    expect(m.pipelines.get("front")).toMatchObject({ threads: 3 });
  });
  it("are absent in nonsense", () => {
    for (const nonsense of [null, 3, [], { cpu: "much", load: { one: "x" }, disks: "no", pipelines: 4, version: 3, memory: null }]) {
      expect(readMachine(nonsense)).toMatchObject({ cpu: { process: null }, memory: { used: null }, load: [] });
    }
  });
  it("of cameras are differences", () => {
    const at = (bytes_in: number, frames: number) => ({ counters: { bytes_in, frames } }) as Camera;
    expect(rates(at(1000, 10), at(3000, 60), 2)).toEqual({ bits: 8000, frames: 25 });
    expect(rates(at(1000, 10), at(10, 1), 2)).toBeNull();
    expect(rates(at(0, 0), at(1, 1), 0)).toBeNull();
  });
});

describe("lines of the log", () => {
  it("are read from either shape", () => {
    expect(readLine({ id: 4, at: "2026-01-01T00:00:00Z", level: "WARN", target: "nvr", message: "slow" })).toEqual({ key: "i4", at: "2026-01-01T00:00:00Z", level: "warn", target: "nvr", text: "slow" });
    expect(readLine({ timestamp: "t", level: "x", fields: { message: "a", camera: "front", n: 2 } })).toMatchObject({ at: "t", level: "info", text: "a camera=front n=2" });
    for (const nonsense of [null, "text", {}, { level: "info" }]) expect(readLine(nonsense)).toBeNull();
  });
  it("are bounded, and not doubled", () => {
    const line = (id: number) => readLine({ id, message: "m" })!;
    const all = withLines([1, 2, 3].map(line), [3, 4, 5].map(line), 4);
    expect(all.map((l) => l.key)).toEqual(["i2", "i3", "i4", "i5"]);
  });
  it("match by level and words", () => {
    const line = readLine({ level: "warn", target: "nvr::camera", message: "Front door lost" })!;
    expect(matches(line, "info", "")).toBe(true);
    expect(matches(line, "error", "")).toBe(false);
    expect(matches(line, "trace", "camera door")).toBe(true);
    expect(matches(line, "trace", "camera gate")).toBe(false);
  });
});
