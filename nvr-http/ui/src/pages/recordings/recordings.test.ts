import { describe, expect, it, vi } from "vitest";
import type { Segment } from "~/api/types";
import { hasMark, readFilters, writeFilters } from "./filters";
import { NewestFirst } from "./newest";
import { removal } from "./removal";

const segment = (id: number, camera: string, start: string, more: Partial<Segment> = {}) => ({ id, camera, start, state: "closed", protected: false, event: false, transcoded: false, ...more }) as Segment;

describe("filters", () => {
  it("are in the address and come back", () => {
    const all = { view: "ranges", camera: "front", day: "2026-11-28", mark: "protected" } as const;
    expect(readFilters(`?${writeFilters(all)}`)).toEqual(all);
    expect(writeFilters(readFilters(""))).toBe("");
  });
  it("ignore nonsense", () => {
    expect(readFilters("?view=x&mark=evil&day=tomorrow")).toEqual({ view: "files", camera: "", day: "", mark: "all" });
  });
  it("know the marks", () => {
    const s = segment(1, "a", "2026-01-01T00:00:00Z", { protected: true, state: "remote" });
    expect((["all", "protected", "event", "transcoded", "remote", "trouble"] as const).filter((m) => hasMark(s, m))).toEqual(["all", "protected", "remote"]);
    expect(hasMark({ ...s, state: "recovered" }, "trouble")).toBe(true);
  });
});

describe("segments of several cameras", () => {
  const at = (minute: number) => `2026-01-01T00:${String(minute).padStart(2, "0")}:00Z`;
  const store: Record<string, Segment[]> = {
    a: [50, 40, 30, 20].map((m) => segment(m, "a", at(m), { protected: m === 20 })),
    b: [45, 35].map((m) => segment(m, "b", at(m))),
    c: [],
  };
  const load = vi.fn((camera: string, cursor: string | null) => {
    const from = Number(cursor ?? 0);
    const all = store[camera] ?? [];
    return Promise.resolve({ segments: all.slice(from, from + 2), next: from + 2 < all.length ? String(from + 2) : null });
  });
  it("are one list, newest first, over the pages of each", async () => {
    const list = new NewestFirst(["a", "b", "c"], load);
    expect((await list.page(4, () => true)).map((s) => s.id)).toEqual([50, 45, 40, 35]);
    expect(list.done).toBe(false);
    expect((await list.page(4, () => true)).map((s) => s.id)).toEqual([30, 20]);
    expect(list.done).toBe(true);
    expect(await list.page(4, () => true)).toEqual([]);
  });
  it("are looked through for those that are wanted", async () => {
    const list = new NewestFirst(["a", "b"], load);
    expect((await list.page(10, (s) => s.protected)).map((s) => s.id)).toEqual([20]);
    const few = new NewestFirst(["a", "b"], load);
    expect(await few.page(10, (s) => s.protected, 3)).toEqual([]);
    expect(few.done).toBe(false);
  });
  it("go over empty pages", async () => {
    const list = new NewestFirst(["a"], (_, cursor) => Promise.resolve(cursor ? { segments: store["a"] ?? [], next: null } : { segments: [], next: "x" }));
    expect((await list.page(1, () => true)).map((s) => s.id)).toEqual([50]);
  });
});

describe("deleting", () => {
  const parts = () => ({ hide: vi.fn(), show: vi.fn(), refused: vi.fn(), sent: vi.fn(), send: vi.fn((n: number) => (n === 2 ? Promise.reject(new Error("protected")) : Promise.resolve())) });
  it("sends nothing when it is undone", async () => {
    const p = parts();
    const r = removal([1, 2, 3], p);
    expect(p.hide).toHaveBeenCalledWith([1, 2, 3]);
    r.undo();
    await r.commit();
    expect(p.show).toHaveBeenCalledWith([1, 2, 3]);
    expect(p.send).not.toHaveBeenCalled();
  });
  it("sends once, and shows again what was refused", async () => {
    const p = parts();
    const r = removal([1, 2, 3], p);
    await Promise.all([r.commit(), r.commit()]);
    r.undo();
    expect(p.send.mock.calls.map((c) => c[0])).toEqual([1, 2, 3]);
    expect(p.show).toHaveBeenCalledTimes(1);
    expect(p.show).toHaveBeenCalledWith([2]);
    expect(p.sent).toHaveBeenCalledWith([1, 3]);
    expect(p.refused.mock.calls[0]?.[0]).toMatchObject([{ thing: 2 }]);
  });
});
