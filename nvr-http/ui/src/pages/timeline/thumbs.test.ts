import { afterEach, expect, test, vi } from "vitest";
import { Thumbs } from "./thumbs";

afterEach(() => vi.unstubAllGlobals());

/** A recorder that answers when it is told to, and what it was asked for. */
function recorder() {
  const asked: string[] = [];
  const answers = new Map<string, () => void>();
  vi.stubGlobal("fetch", (input: string | URL | Request) => {
    const second = String(Date.parse(new URL(input instanceof Request ? input.url : input, "http://nvr").searchParams.get("at") ?? "") / 1000);
    asked.push(second);
    return new Promise((resolve) => answers.set(second, () => resolve(new Response(second, { headers: { "x-frame-time": new Date(Number(second) * 1000).toISOString() } }))));
  });
  let made = 0;
  URL.createObjectURL = () => `blob:${++made}`;
  const answer = async (second: string) => {
    await vi.waitFor(() => expect(answers.has(second)).toBe(true));
    const before = made;
    answers.get(second)?.();
    await vi.waitFor(() => expect(made).toBe(before + 1));
    await new Promise((done) => setTimeout(done));
  };
  return { asked, answer };
}

test("a picture that comes late does not take the place of one that was asked for after it", async () => {
  const { asked, answer } = recorder();
  const shown: string[] = [];
  const thumbs = new Thumbs("front", 320);
  const at = (second: number) => thumbs.at(second * 1000, 0, () => shown.push(String(second)));
  at(5);
  await answer("5");
  at(11);
  at(12);
  at(5);
  await vi.waitFor(() => expect(shown).toEqual(["5", "5"]));
  await answer("11");
  expect(shown, "that of 11 s is kept for later").toEqual(["5", "5"]);
  expect(asked, "nobody wants 12 s any more").toEqual(["5", "11"]);
  at(11);
  await vi.waitFor(() => expect(shown).toEqual(["5", "5", "11"]));
});

test("of moments asked for in haste the last is fetched, and each is shown in its turn", async () => {
  const { asked, answer } = recorder();
  const shown: string[] = [];
  const thumbs = new Thumbs("front", 320);
  for (const second of [1, 2, 3, 4]) thumbs.at(second * 1000, 0, () => shown.push(String(second)));
  await answer("1");
  await answer("4");
  expect(asked).toEqual(["1", "4"]);
  expect(shown).toEqual(["1", "4"]);
});

test("where no picture is wanted, none is shown", async () => {
  const { answer } = recorder();
  const shown: string[] = [];
  const thumbs = new Thumbs("front", 320);
  thumbs.at(1000, 0, () => shown.push("1"));
  thumbs.none();
  await answer("1");
  expect(shown).toEqual([]);
});
