import { describe, expect, it } from "vitest";
import { ago, bitRate, bytes, duration } from "./format";

describe("format", () => {
  it("bytes", () => {
    expect(bytes(0)).toBe("0 bytes");
    expect(bytes(1_234)).toBe("1.23 kB");
    expect(bytes(12_345_678)).toBe("12.3 MB");
    expect(bytes(999_999_999_999)).toBe("1,000 GB");
  });
  it("durations", () => {
    expect(duration(1.25)).toBe("1.3 sec");
    expect(duration(59)).toBe("59 sec");
    expect(duration(60)).toBe("1 min");
    expect(duration(3_725)).toBe("1 hr 2 min");
    expect(duration(90_000)).toBe("1 day 1 hr");
  });
  it("rates and ages", () => {
    expect(bitRate(2_140_000)).toBe("2.1 Mbit/s");
    expect(bitRate(640_000)).toBe("640 kbit/s");
    expect(ago(1_000_000 - 300_000, 1_000_000)).toBe("5 min. ago");
  });
});
