import { execFileSync } from "node:child_process";
import { check, moving, open, pictureNumber, pictureTime, recordedClock } from "./page.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  const server = await Server.start();
  await server.footage("front", 25);
  // A gap of some seconds in the middle.
  await server.end();
  await new Promise((done) => setTimeout(done, 4000));
  await server.run();
  await until("it records again", async () => (await server.get("/cameras/front")).state === "recording");
  await server.footage("front", 45);
  return { server };
}
export const after = ({ server }) => server.remove();

const pane = (id) => `.pane[data-camera=${id}] video`;

async function ranges(server, camera) {
  const now = Math.floor(Date.now() / 1000);
  const { ranges } = await server.get(`/cameras/${camera}/timeline?from=${now - 3600}&to=${now}`);
  return ranges.map((r) => ({ start: Date.parse(r.start), end: Date.parse(r.end) }));
}

async function start(browser, server, query, options) {
  const page = await open(browser, server.address, options);
  await page.goto(`${server.address}/timeline?${query}`);
  await until("the first picture", () => pictureTime(page, pane("front")));
  return page;
}

/** What the slider says, in Unix milliseconds. */
const shownTime = async (page) => Number(await page.locator(".scrubber").getAttribute("aria-valuenow")) * 1000;

/** The same to the millisecond. */
const exactTime = async (page) => Number(await page.locator(".scrubber").getAttribute("data-time"));

/** From where to where the slider shows, in Unix milliseconds. */
const shownRange = (page) => page.locator(".scrubber").evaluate((e) => [Number(e.getAttribute("aria-valuemin")) * 1000, Number(e.getAttribute("aria-valuemax")) * 1000]);

/** Where on the display a moment is, after zooming out as far as it takes to see it. */
async function placeOf(page, time) {
  for (let n = 0; n < 20; n++) {
    const [from, to] = await shownRange(page);
    const share = (time - from) / (to - from);
    if (share > 0.03 && share < 0.97) {
      const box = await page.locator(".scrubber").boundingBox();
      return [box.x + share * box.width, box.y + 44];
    }
    await page.keyboard.press("-");
    await until("zoomed out", async () => { const [a, b] = await shownRange(page); return b - a > to - from; });
  }
  throw new Error(`${new Date(time).toISOString()} cannot be shown`);
}

/** Clicks the lane at a moment. */
const click = async (page, time) => page.mouse.click(...(await placeOf(page, time)));

const zoomTo = async (page, seconds) => {
  for (let n = 0; n < 20; n++) {
    const [from, to] = await shownRange(page);
    if (to - from <= seconds * 1000) return;
    await page.keyboard.press("+");
  }
};

export const tests = [
  ["a click plays what was recorded then, by the picture's own clock, in step for two cameras", async ({ browser, server }) => {
    const [first] = await ranges(server, "front");
    const page = await start(browser, server, `camera=front,yard&at=${new Date(first.start + 4000).toISOString()}`);
    await zoomTo(page, 120);
    for (const offset of [6000, 14_000, 9000]) {
      await click(page, first.start + offset);
      const at = await until("the moment", async () => {
        const now = await exactTime(page);
        return Math.abs(now - first.start - offset) < 1500 ? now : null;
      });
      for (const id of ["front", "yard"]) {
        const recorded = await recordedClock(page, id, at);
        await until(`the picture of ${id} is that of the moment`, async () => Math.abs((await pictureTime(page, pane(id))) - recorded) <= 150);
      }
    }
    await page.keyboard.press(" ");
    await moving(page, pane("front"));
    await moving(page, pane("yard"));
    await page.keyboard.press(" ");
    const at = await exactTime(page);
    const recorded = await Promise.all(["front", "yard"].map((id) => recordedClock(page, id, at)));
    const shown = await Promise.all(["front", "yard"].map((id) => pictureTime(page, pane(id))));
    check(Math.abs(shown[0] - recorded[0]) < 500 && Math.abs(shown[1] - recorded[1]) < 900, `shown ${shown}, recorded ${recorded}`);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["it plays across files and over a gap", async ({ browser, server }) => {
    const [first, second] = await ranges(server, "front");
    check(second && second.start - first.end > 2000, "there is a gap");
    const page = await start(browser, server, `camera=front&at=${new Date(first.end - 12_000).toISOString()}`);
    await page.keyboard.press("]");
    await page.keyboard.press("]");
    await page.keyboard.press(" ");
    await until("behind the gap", async () => (await exactTime(page)) > second.start + 500, 120_000);
    await moving(page, pane("front"));
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["in a gap it says why, and when it goes on", async ({ browser, server }) => {
    const [first, second] = await ranges(server, "front");
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/timeline?camera=front&at=${new Date((first.end + second.start) / 2).toISOString()}`);
    await page.getByText("Nothing recorded at this moment").waitFor();
    await page.getByText("It goes on").waitFor();
  }],
  ["frames one by one, and ten seconds", async ({ browser, server }) => {
    const [first] = await ranges(server, "front");
    const page = await start(browser, server, `camera=front&at=${new Date(first.start + 8000).toISOString()}`);
    const number = () => pictureNumber(page, pane("front"));
    let before = await number();
    for (const [key, way] of [[".", 1], [".", 1], [".", 1], [",", -1], [",", -1]]) {
      await page.keyboard.press(key);
      const next = await until("another frame", async () => {
        const now = await number();
        return now !== before ? now : null;
      });
      check(next === before + way, `from frame ${before} to ${next} by ${key}`);
      before = next;
      await page.waitForTimeout(300);
    }
    const from = await exactTime(page);
    await page.keyboard.press("l");
    await until("ten seconds on", async () => Math.abs((await exactTime(page)) - from - 10_000) < 200);
  }],
  ["dragging shows pictures, wheel and keys zoom from a month to a second", async ({ browser, server }) => {
    const [first] = await ranges(server, "front");
    const page = await start(browser, server, `camera=front&at=${new Date(first.start + 5000).toISOString()}`);
    await zoomTo(page, 90);
    const slider = page.locator(".scrubber");
    const box = await slider.boundingBox();
    const length = async () => { const [from, to] = await shownRange(page); return (to - from) / 1000; };
    const last = await placeOf(page, first.start + 12_000);
    await page.mouse.move(...(await placeOf(page, first.start + 3000)));
    await page.mouse.down();
    await page.mouse.move(...(await placeOf(page, first.start + 8000)), { steps: 6 });
    await page.mouse.move(...last, { steps: 6 });
    await until("a picture under the pointer", () => page.evaluate(() => document.querySelector(".bubble img")?.naturalWidth > 0));
    await until("and the large one", () => page.evaluate(() => document.querySelector(".pane img")?.naturalWidth > 0));
    await page.mouse.up();
    await until("it stays there", async () => Math.abs((await exactTime(page)) - first.start - 12_000) < 2000);
    await page.mouse.move(box.x + box.width / 2, box.y + 44);
    for (let n = 0; n < 60 && (await length()) > 3; n++) await page.mouse.wheel(0, -300);
    await until("seconds", async () => (await length()) <= 3);
    for (let n = 0; n < 80 && (await length()) < 30 * 86_400; n++) await page.mouse.wheel(0, 300);
    await until("a month", async () => (await length()) >= 30 * 86_400);
    await page.locator(".segmented-option", { hasText: "1 h" }).click();
    await until("an hour", async () => Math.abs((await length()) - 3600) < 5);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["a marked range is exported as a file that plays, and protected with undo", async ({ browser, server }) => {
    const [first] = await ranges(server, "front");
    const page = await start(browser, server, `camera=front&at=${new Date(first.start + 5000).toISOString()}`);
    await zoomTo(page, 60);
    await page.keyboard.press("i");
    await click(page, first.start + 15_000);
    await until("the moment", async () => Math.abs((await shownTime(page)) - first.start - 15_000) < 1500);
    await page.keyboard.press("o");
    await page.getByRole("button", { name: "Protect" }).click();
    await page.getByText(/Protected from deletion/).waitFor();
    const kept = async () => (await server.get(`/cameras/front/segments?from=${new Date(first.start + 6000).toISOString()}&to=${new Date(first.start + 14_000).toISOString()}`)).segments.every((s) => s.protected);
    await until("it is protected", kept);
    await page.getByRole("button", { name: "Undo" }).click();
    await until("it is not any more", async () => !(await kept()));
    await page.getByRole("button", { name: "Export" }).click();
    const dialog = page.getByRole("dialog");
    const [download] = await Promise.all([page.waitForEvent("download"), dialog.getByRole("button", { name: "Export" }).click()]);
    await dialog.getByText(/done,/).waitFor();
    check((await dialog.getByRole("progressbar").getAttribute("value")) === "1", "the bar is full");
    const probe = execFileSync("ffprobe", ["-v", "error", "-show_entries", "stream=codec_name:format=duration", "-of", "json", await download.path()], { encoding: "utf8" });
    const { streams, format } = JSON.parse(probe);
    check(streams.some((s) => s.codec_name === "h264") && streams.some((s) => s.codec_name === "aac"), probe);
    check(Number(format.duration) > 8.5 && Number(format.duration) < 12.5, probe);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
];
