import { describe, expect, it } from "vitest";
import { asked, isNarrow, readFilters, writeFilters } from "./filters";

describe("filters of events", () => {
  it("survive the address, and nonsense means everything", () => {
    const f = { what: "motion", camera: "front", from: "2026-11-28T14:00", to: "", text: "a & b" } as const;
    expect(readFilters(writeFilters(f))).toEqual(f);
    expect(readFilters("what=x&from=yesterday")).toEqual({ what: "all", camera: "", from: "", to: "", text: "" });
    expect(isNarrow(readFilters(""))).toBe(false);
  });
  it("ask for what was chosen", () => {
    const of = (search: string) => asked(readFilters(search));
    expect(of("what=motion")).toMatchObject({ kind: "detection_started", detection: "motion" });
    expect(of("what=detections")).toMatchObject({ kind: "detection_started", detection: null });
    expect(of("what=outages").kind.split(",")).toContain("gap_opened");
    expect(of("").kind.split(",")).toEqual(expect.arrayContaining(["detection_started", "storage_fault", "job_changed"]));
    expect(of("text=%20").text).toBeNull();
  });
});
