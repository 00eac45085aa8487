import { describe, expect, it, vi } from "vitest";
import type { Speed } from "~/api/ptz";
import { AGAIN_MS, Hold } from "./hold";

const left: Speed = { pan: -1, tilt: 0, zoom: 0 };
const up: Speed = { pan: 0, tilt: 1, zoom: 0 };

describe("what is held", () => {
  it("moves again and again, and stops once", async () => {
    vi.useFakeTimers();
    const orders: (Speed | null)[] = [];
    const hold = new Hold(async (speed) => void orders.push(speed), () => {});
    hold.begin(left);
    await vi.advanceTimersByTimeAsync(AGAIN_MS * 2 + 10);
    expect(orders).toEqual([left, left, left]);
    hold.begin(up);
    await vi.advanceTimersByTimeAsync(1);
    hold.end();
    await vi.advanceTimersByTimeAsync(AGAIN_MS * 3);
    expect(orders.slice(3)).toEqual([up, null]);
    hold.end();
    await vi.advanceTimersByTimeAsync(AGAIN_MS);
    expect(orders.length).toBe(5);
    vi.useRealTimers();
  });

  it("stops when it was let go before the first order was answered, and tells what fails", async () => {
    const orders: (Speed | null)[] = [];
    let answer = () => {};
    const told: unknown[] = [];
    const hold = new Hold((speed) => {
      orders.push(speed);
      return speed ? new Promise((_, fail) => (answer = () => fail("no"))) : Promise.resolve();
    }, (e) => told.push(e));
    hold.begin(left);
    hold.end();
    answer();
    await vi.waitFor(() => expect(orders).toEqual([left, null]));
    expect(told).toEqual(["no"]);
  });
});
