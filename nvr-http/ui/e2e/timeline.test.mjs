import { execFileSync } from "node:child_process";
import { SIZES, check, looks, moving, open, pictureNumber, pictureTime, recordedClock } from "./page.mjs";
import { inWords, seekTimes } from "./seek.mjs";
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
    const [x, y] = await placeOf(page, first.start + 5000);
    await until("a picture under the pointer that points", async () => {
      await page.mouse.move(x, y);
      return page.evaluate(() => document.querySelector(".bubble img")?.naturalWidth > 0);
    });
    // The view moves, the pointer does not: what it points at is another moment.
    const [before, old] = await page.evaluate(() => [document.querySelector(".bubble-time").innerText, document.querySelector(".bubble img").src]);
    await page.keyboard.press("PageUp");
    await until("the moment under the pointer is an earlier one", async () => (await page.locator(".bubble-time").innerText()) !== before);
    check((await page.locator(".bubble img").evaluateAll((all) => all.map((i) => i.src))).every((src) => src !== old), "the picture is not that of before");
    await page.keyboard.press("PageDown");
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
  ["a marked range of two cameras becomes one file, and one of each a time-lapse", async ({ browser, server, shots }) => {
    const findings = [];
    const [first] = await ranges(server, "front");
    const page = await start(browser, server, `at=${new Date(first.start + 5000).toISOString()}`);
    for (const name of ["Front door", "Yard"]) if (!(await page.locator(`.pane[data-camera=${name === "Yard" ? "yard" : "front"}]`).count())) await page.getByRole("button", { name }).first().click();
    await zoomTo(page, 60);
    await page.keyboard.press("i");
    await click(page, first.start + 10_000);
    await until("the moment", async () => Math.abs((await shownTime(page)) - first.start - 10_000) < 1500);
    await page.keyboard.press("o");
    const dialog = page.getByRole("dialog");
    const made = async (what, more) => {
      await page.getByRole("button", { name: "Export" }).click();
      await dialog.getByLabel("What").selectOption(what);
      await more();
      const size = page.viewportSize();
      for (const [device, width, height] of SIZES) {
        await page.setViewportSize({ width, height });
        findings.push(...(await looks(page, `export-${what}-${device}`, shots)));
      }
      await page.setViewportSize(size);
      const [download] = await Promise.all([page.waitForEvent("download", { timeout: 90_000 }), dialog.getByRole("button", { name: "Export" }).click()]);
      await dialog.getByText(/done,/).first().waitFor();
      const probe = execFileSync("ffprobe", ["-v", "error", "-count_packets", "-show_entries", "stream=codec_name,width,height,nb_read_packets", "-of", "json", await download.path()], { encoding: "utf8" });
      await dialog.getByRole("button", { name: "Close" }).last().click();
      return { probe, ...JSON.parse(probe) };
    };
    const merged = await made("merge", async () => {
      await dialog.getByLabel("Yard").uncheck();
      await dialog.getByText("Choose two to sixteen cameras.").waitFor();
      check(await dialog.getByRole("button", { name: "Export" }).isDisabled(), "one camera is not merged");
      await dialog.getByLabel("Yard").check();
      await dialog.getByLabel("Arrangement").selectOption("stacked");
      await dialog.getByLabel("Sound").selectOption("front");
    });
    check(merged.streams.some((s) => s.codec_name === "h264" && s.width === 640 && s.height === 720) && merged.streams.some((s) => s.codec_name === "aac"), merged.probe);
    const lapse = await made("timelapse", async () => {
      await dialog.getByLabel("Yard").uncheck();
      await dialog.getByLabel("Length in seconds").fill("2");
    });
    check(lapse.streams.length === 1 && lapse.streams[0].width === 1280 && Number(lapse.streams[0].nb_read_packets) === 50, lapse.probe);
    check(!findings.length, findings.join("\n"));
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["two fingers zoom and move, one drags with pictures, and what is under the fingers stays there", async ({ browser, server }) => {
    const [first] = await ranges(server, "front");
    const page = await start(browser, server, `camera=front&at=${new Date(first.start + 8000).toISOString()}`, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await page.locator(".segmented-option", { hasText: "1 h" }).tap();
    const touch = await page.context().newCDPSession(page);
    const send = (type, ...points) => touch.send("Input.dispatchTouchEvent", { type, touchPoints: points.map(([x, y], id) => ({ x, y, id })) });
    const box = await page.locator(".scrubber").boundingBox();
    const y = box.y + 44;
    const at = (share) => box.x + share * box.width;
    const length = async () => { const [from, to] = await shownRange(page); return to - from; };
    /** Both fingers from two places to two others, in steps. */
    const pinch = async ([a, b], [c, d]) => {
      await send("touchStart", [at(a), y]);
      await send("touchStart", [at(a), y], [at(b), y]);
      for (let n = 1; n <= 8; n++) await send("touchMove", [at(a + ((c - a) * n) / 8), y], [at(b + ((d - b) * n) / 8), y]);
      await send("touchMove", [at(c), y], [at(d), y]);
    };
    const lift = async (c) => {
      await send("touchEnd", [at(c), y]);
      await send("touchEnd");
    };
    const time = await exactTime(page);
    const before = await shownRange(page);
    const middle = before[0] + 0.5 * (before[1] - before[0]);
    await pinch([0.45, 0.55], [0.1, 0.9]);
    await until("an eighth of it", async () => Math.abs((await length()) / (before[1] - before[0]) - 1 / 8) < 0.01);
    const after = await shownRange(page);
    check(Math.abs(after[0] + 0.5 * (after[1] - after[0]) - middle) < 0.02 * (after[1] - after[0]), `${middle} went to ${after}`);
    await lift(0.1);
    // Together again and to the side: as before, moved.
    await pinch([0.1, 0.9], [0.25, 0.35]);
    await until("as long as before", async () => Math.abs((await length()) / (before[1] - before[0]) - 1) < 0.02);
    await lift(0.25);
    check(Math.abs((await exactTime(page)) - time) < 100, "zooming plays nothing else");
    // One finger drags.
    await page.locator(".segmented-option", { hasText: "1 h" }).tap();
    await zoomTo(page, 60);
    const [from, to] = await shownRange(page);
    const goal = first.start + 12_000;
    const share = (moment) => (moment - from) / (to - from);
    await send("touchStart", [at(share(first.start + 6000)), y]);
    for (let n = 1; n <= 6; n++) await send("touchMove", [at(share(first.start + 6000 + n * 1000)), y]);
    await until("a picture while dragging", () => page.evaluate(() => document.querySelector(".pane img")?.naturalWidth > 0));
    await send("touchEnd");
    await until("it stays there", async () => Math.abs((await exactTime(page)) - goal) < 1000);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["random moments play soon after the click", async ({ browser, server }) => {
    const page = await start(browser, server, `camera=front&at=${new Date((await ranges(server, "front"))[0].start + 2000).toISOString()}`);
    await zoomTo(page, 120);
    const told = await seekTimes(page, await ranges(server, "front"), 12);
    check(told.length === 12 && told.every(({ picture, moves }) => picture > 0 && moves >= picture), JSON.stringify(told));
    console.log(`      ${inWords(told)}`);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["from a quarter of the speed to sixteen times", async ({ browser, server }) => {
    const [first] = await ranges(server, "front");
    const page = await start(browser, server, `camera=front&at=${new Date(first.start + 1000).toISOString()}`);
    await page.keyboard.press(" ");
    for (const rate of ["0.25", "0.5", "1", "2", "4", "8", "16"]) {
      await page.getByLabel("Speed").selectOption(rate);
      await page.evaluate(() => document.activeElement.blur());
      await click(page, first.start + 2000);
      await moving(page, pane("front"));
      await until(`${rate} times`, () => page.locator(pane("front")).evaluate((v, rate) => v.playbackRate === Number(rate) || v.paused, rate));
    }
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["the field to jump by shows the moment that is shown, and goes to another", async ({ browser, server }) => {
    const [first] = await ranges(server, "front");
    const page = await start(browser, server, `camera=front&at=${new Date(first.start + 3000).toISOString()}`);
    const field = page.getByLabel("Jump to a time").first();
    const entered = async () => page.evaluate((text) => new Date(text).getTime(), await field.inputValue());
    check(Math.abs((await entered()) - first.start - 3000) <= 1500, await field.inputValue());
    await page.keyboard.press("l");
    await until("it follows", async () => Math.abs((await entered()) - first.start - 13_000) <= 1500);
    const wanted = Math.floor((first.start + 7000) / 1000) * 1000;
    await field.fill(await page.evaluate((time) => new Date(time - new Date(time).getTimezoneOffset() * 60_000).toISOString().slice(0, 19), wanted));
    await field.press("Enter");
    await until("it goes there", async () => Math.abs((await exactTime(page)) - wanted) < 200);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
];
