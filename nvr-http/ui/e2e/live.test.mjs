import { readFileSync } from "node:fs";
import { SIZES, check, moving, open, pictureNumber, pictureTime } from "./page.mjs";
import { split } from "./fragments.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  const server = await Server.start();
  await server.footage("front", 12);
  return { server };
}
export const after = ({ server }) => server.remove();

const tile = (page, id) => page.locator(`.tile[data-camera=${id}]`);
const path = (page, id) => tile(page, id).getAttribute("data-path");
const playing = (page, id, patience) => until(`${id} plays`, async () => (await tile(page, id).getAttribute("data-phase")) === "playing", patience);
const shown = (id) => `.tile[data-camera=${id}] .tile-media:not([hidden])`;

/** What a recorder says that offers one path only. */
const only = (name, more = {}) => ({
  codec: "avc1.42c01f", width: 1280, height: 720, audio: null, b_frames: false,
  paths: { [name]: { ok: true, ...more } },
});
const say = (page, info) => page.route(/\/cameras\/front\/live(\?|$)/, (route) => route.fulfill({ json: info }));

export const tests = [
  ["all cameras move within the grid, and a camera that is down says why", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    const stills = [];
    page.on("request", (r) => /gate\/snapshot/.test(r.url()) && stills.push(r.url()));
    await page.goto(server.address);
    for (const id of ["front", "yard"]) {
      await playing(page, id);
      const time = await moving(page, shown(id));
      check(Date.now() - time < 20_000, `${id} shows ${new Date(time).toISOString()}`);
    }
    const { cause } = await server.get("/cameras/gate");
    await tile(page, "gate").getByText(cause.message).waitFor();
    const german = await open(browser, server.address, { locale: "de-DE" });
    await german.goto(server.address);
    await tile(german, "gate").getByText("Unter der Adresse antwortet niemand").waitFor();
    await tile(german, "gate").getByText(cause.message).waitFor();
    check(!stills.length, `it has no stills to ask for: ${stills}`);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["by each path: WebRTC first, and each of the others when it is chosen, over the recorder's own connections", async ({ browser, server }) => {
    const { paths } = await server.get("/cameras/front/live");
    for (const [key, { ok, why }] of Object.entries(paths)) check(ok, `${key} is not offered: ${why}`);
    check(Object.keys(paths).sort().join() === "hls,mjpeg,mse,preview,whep", JSON.stringify(paths));
    const page = await open(browser, server.address);
    // What went over the network for this camera: answers by their address, sockets by the messages with data.
    const seen = { answers: [], frames: [] };
    const rest = (url) => new URL(url).pathname.split("/cameras/front/")[1];
    page.on("response", (r) => seen.answers.push([rest(r.url()), r.status()]));
    page.on("websocket", (ws) => ws.on("framereceived", ({ payload }) => typeof payload !== "string" && seen.frames.push(rest(ws.url()))));
    const answered = (pattern, status) => seen.answers.some(([address, s]) => pattern.test(address) && s === status);
    const received = (address) => seen.frames.filter((a) => a === address).length >= 5;
    const PATHS = [
      ["whep", "WebRTC", () => answered(/^whep$/, 201)],
      ["mse", "MSE", () => received("live.mp4")],
      ["hls", "LL-HLS", () => answered(/^live\.m3u8$/, 200) && answered(/\.(m4s|mp4)$/, 200)],
      ["preview", "JPEG", () => received("preview")],
      ["mjpeg", "MJPEG", () => answered(/^live\.mjpeg$/, 200)],
      ["pictures", "JPEG 1/s", () => answered(/^snapshot\.jpg$/, 200)],
    ];
    await page.goto(server.address);
    await playing(page, "front");
    check((await path(page, "front")) === "whep", `without a choice it is shown by ${await path(page, "front")}`);
    for (const [key, name, used] of PATHS) {
      if (key !== "whep") seen.answers = [];
      await tile(page, "front").hover();
      await tile(page, "front").getByRole("button", { name: /More for/ }).click();
      await page.getByRole("menuitemcheckbox", { name: `Only ${name}`, exact: true }).click();
      await until(`front is shown by ${key}`, async () => (await path(page, "front")) === key && (await tile(page, "front").getAttribute("data-phase")) === "playing");
      const time = await moving(page, shown("front"));
      check(Date.now() - time < 20_000, `${key}: ${Date.now() - time} ms late`);
      await until(`${key} is what brought it`, used, 10_000).catch((e) => check(false, `${e.message}: ${JSON.stringify(seen.answers)}, ${seen.frames.length} messages`));
      check((await path(page, "front")) === key, `${key} gave way to ${await path(page, "front")}`);
    }
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["fragments over a WebSocket; what is lost is counted, and when it fails another way is taken", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    const now = Math.floor(Date.now() / 1000);
    const file = Buffer.from(await (await fetch(`${server.address}/api/v1/cameras/front/export.mp4?format=fmp4&from=${now - 10}&to=${now}`)).arrayBuffer());
    const { head, fragments } = split(file);
    check(fragments.length >= 2, `${fragments.length} fragments`);
    const mime = 'video/mp4; codecs="avc1.42c01f,mp4a.40.2"';
    await say(page, only("mse", { mime }));
    let sockets = 0;
    await page.routeWebSocket("**/live.mp4*", async (ws) => {
      sockets += 1;
      ws.send(JSON.stringify({ type: "init", mime, timescale: 90_000 }));
      ws.send(head);
      ws.send(JSON.stringify({ type: "lost", frames: 7 }));
      for (const fragment of fragments) {
        ws.send(fragment);
        await new Promise((done) => setTimeout(done, 300));
      }
      ws.close({ reason: "over" });
    });
    await page.goto(server.address);
    await until("shown by MSE", async () => (await path(page, "front")) === "mse");
    await moving(page, shown("front"));
    await page.getByRole("button", { name: "Figures" }).click();
    await until("losses are counted", async () => /Lost\s*7/.test(await tile(page, "front").locator(".figures").innerText()));
    // The connection ends: it is made again. Then it fails for good: pictures.
    await until("it connects again", () => sockets > 1);
    await page.unrouteAll({ behavior: "ignoreErrors" });
    await say(page, only("mse", { mime: 'video/mp4; codecs="nonsense"' }));
    await until("shown by pictures", async () => (await path(page, "front")) === "pictures" && (await tile(page, "front").getAttribute("data-phase")) === "playing");
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["pictures over a WebSocket, each acknowledged when it is shown", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    await say(page, only("preview"));
    const acknowledged = [];
    await page.routeWebSocket("**/preview*", async (ws) => {
      ws.onMessage((text) => acknowledged.push(JSON.parse(text).ack));
      for (let n = 1; n <= 5; n++) {
        const answer = await fetch(`${server.address}/api/v1/cameras/front/snapshot.jpg`);
        const head = Buffer.alloc(16);
        head.writeBigUInt64BE(BigInt(n), 0);
        head.writeBigInt64BE(BigInt(Date.parse(answer.headers.get("x-frame-time"))) * 1_000_000n, 8);
        ws.send(Buffer.concat([head, Buffer.from(await answer.arrayBuffer())]));
        await until(`${n} is acknowledged`, () => acknowledged.includes(n), 10_000);
      }
    });
    await page.goto(server.address);
    await until("shown by preview", async () => (await path(page, "front")) === "preview");
    await until("all are acknowledged", () => acknowledged.length >= 5);
    check(acknowledged.slice(0, 5).join() === "1,2,3,4,5", acknowledged.join());
  }],
  ["HLS by the player that is fetched only then", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    await say(page, only("hls"));
    await page.route("**/cameras/front/live.m3u8*", async (route) => {
      const now = Math.floor(Date.now() / 1000);
      const answer = await fetch(`${server.address}/api/v1/cameras/front/media.m3u8?from=${now - 20}&to=${now + 600}&event=true`);
      await route.fulfill({ body: await answer.text(), contentType: "application/vnd.apple.mpegurl" });
    });
    await page.goto(server.address);
    await until("shown by HLS", async () => (await path(page, "front")) === "hls" && (await tile(page, "front").getAttribute("data-phase")) === "playing");
    await moving(page, shown("front"));
  }],
  ["LL-HLS shows pictures long before the next keyframe, and nothing counts as played without one", async ({ browser }) => {
    const server = await Server.start('auth = "none"', [["front", "Front door", "test:?size=640x360&fps=25&gop=3000&audio=0&pattern=ball", []]]);
    try {
      await server.footage("front", 3);
      const page = await open(browser, server.address);
      await say(page, only("hls"));
      await page.goto(server.address);
      await until("it is shown by HLS", async () => (await path(page, "front")) === "hls" && (await tile(page, "front").getAttribute("data-phase")) === "playing");
      await moving(page, shown("front"));
      const number = await pictureNumber(page, shown("front"));
      check(number < 3000, `it shows picture ${number}, behind the second keyframe`);
      // Who comes between two keyframes would have to wait for one, for minutes.
      const later = await open(browser, server.address);
      await say(later, only("hls"));
      await later.goto(server.address);
      await until("stills are shown instead", async () => (await path(later, "front")) === "pictures");
    } finally {
      await server.remove();
    }
  }],
  ["layouts, one camera alone, order by keyboard and by dragging", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    await page.goto(server.address);
    await tile(page, "front").waitFor();
    const order = () => page.locator(".tile").evaluateAll((all) => all.map((t) => t.dataset.camera).join());
    check((await order()) === "front,yard,gate,hand", await order());
    await page.locator(".segmented-option", { hasText: /^1$/ }).click();
    await until("one camera", async () => (await order()) === "front");
    for (const layout of ["16", "9", "4"]) {
      await page.locator(".segmented-option", { hasText: new RegExp(`^${layout}$`) }).click();
      await until(`few cameras in the shape of pictures, layout ${layout}`, async () => {
        const boxes = await page.locator(".tile").evaluateAll((all) => all.map((t) => t.getBoundingClientRect()).map(({ width, height }) => [width, width / height]));
        return boxes.length === 4 && boxes.every(([width, shape]) => width > 400 && Math.abs(shape - 16 / 9) < 0.02);
      });
    }
    await page.locator(".segmented-option", { hasText: /^1$/ }).click();
    await until("one camera again", async () => (await order()) === "front");
    await page.getByRole("button", { name: "Next cameras" }).click();
    await until("the second", async () => (await order()) === "yard");
    await page.locator(".segmented-option", { hasText: "Fit" }).click();
    await tile(page, "yard").getByTitle("Show Yard alone").click();
    await until("the yard alone", async () => (await order()) === "yard");
    check(/\?camera=yard$/.test(page.url()) && (await page.title()).startsWith("Yard"), `${page.url()}, ${await page.title()}`);
    await page.reload();
    await until("the yard alone, loaded again", async () => (await order()) === "yard");
    await page.goBack();
    await until("all by going back", async () => (await order()).split(",").length === 4);
    await until("the title is that of the page", async () => (await page.title()) === "Live · nvr");
    await page.goForward();
    await until("the yard alone by going on", async () => (await order()) === "yard");
    await page.keyboard.press("Escape");
    await until("all again", async () => (await order()).split(",").length === 4);
    await tile(page, "front").getByRole("button", { name: /Move Front door/ }).focus();
    await page.keyboard.press("ArrowRight");
    await until("moved", async () => (await order()) === "yard,front,gate,hand");
    await tile(page, "hand").hover();
    const from = await tile(page, "hand").getByRole("button", { name: /Move/ }).boundingBox();
    const to = await tile(page, "yard").boundingBox();
    await page.mouse.move(from.x + 5, from.y + 5);
    await page.mouse.down();
    await page.mouse.move(from.x - 40, from.y - 40, { steps: 3 });
    await page.mouse.move(to.x + to.width / 2, to.y + to.height / 2, { steps: 8 });
    await page.mouse.up();
    await until("dragged", async () => (await order()) === "hand,yard,front,gate");
    await page.reload();
    await tile(page, "front").waitFor();
    check((await order()) === "hand,yard,front,gate", `after loading again: ${await order()}`);
  }],
  ["a picture is saved, and a recording by hand starts and stops", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    await page.goto(server.address);
    await tile(page, "front").hover();
    const [download] = await Promise.all([page.waitForEvent("download"), tile(page, "front").getByRole("button", { name: "Save a picture" }).click()]);
    const bytes = readFileSync(await download.path());
    check(bytes.readUInt16BE(0) === 0xffd8 && bytes.length > 2000, `${download.suggestedFilename()}: ${bytes.length} bytes`);
    await until("the workshop stands by", async () => (await server.get("/cameras/hand")).state === "standby");
    await tile(page, "hand").hover();
    await tile(page, "hand").getByRole("button", { name: "Record now" }).click();
    await until("it records", async () => (await server.get("/cameras/hand")).recording);
    await tile(page, "hand").getByRole("button", { name: "Stop recording" }).click();
    await until("it stops", async () => !(await server.get("/cameras/hand")).recording);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["the grid shows the sub stream, one alone and full screen the main one, without a dark picture in between", async ({ browser }) => {
    const server = await Server.start('auth = "none"', [
      ["front", "Front door", "test:?size=1280x720&fps=15&gop=15&audio=0", ['sub = "test:?size=320x180&fps=10&gop=10&audio=0"']],
      ["yard", "Yard", "test:?size=640x360&fps=15&gop=15&audio=0", []],
    ]);
    try {
      await server.footage("front", 4);
      const page = await open(browser, server.address);
      await page.goto(server.address);
      const width = (id) => page.locator(shown(id)).first().evaluate((m) => m.videoWidth || m.naturalWidth);
      const stream = (id) => tile(page, id).getAttribute("data-stream");
      await playing(page, "front");
      await until("the sub stream", async () => (await stream("front")) === "sub" && (await width("front")) === 320);
      await playing(page, "yard");
      check((await stream("yard")) === "main" && (await width("yard")) === 640, "a camera without one shows its main stream");
      // Each frame that is drawn has a picture: looked at with each, from before until after.
      await page.evaluate(() => {
        window.seen = { dark: 0, looks: 0, widths: [] };
        const look = () => {
          const screen = document.querySelector(".tile[data-camera=front] .screen:not(.screen-coming)");
          const media = screen?.querySelector(".tile-media:not([hidden])");
          const width = media?.videoWidth || media?.naturalWidth || 0;
          window.seen.looks += 1;
          if (!width || (media.tagName === "VIDEO" && media.readyState < 2)) window.seen.dark += 1;
          if (window.seen.widths.at(-1) !== width) window.seen.widths.push(width);
          requestAnimationFrame(look);
        };
        look();
      });
      await tile(page, "front").getByTitle("Show Front door alone").click();
      await until("the main stream", async () => (await stream("front")) === "main" && (await width("front")) === 1280);
      await moving(page, shown("front"));
      await page.keyboard.press("Escape");
      await until("the sub stream again", async () => (await stream("front")) === "sub" && (await width("front")) === 320);
      await tile(page, "front").hover();
      await tile(page, "front").getByRole("button", { name: "Full screen" }).click();
      await until("the main stream in full screen", async () => (await stream("front")) === "main" && (await width("front")) === 1280);
      check(await tile(page, "front").evaluate((e) => document.fullscreenElement === e), "it fills the display");
      check(!(await tile(page, "front").locator(".tile-grip").isVisible()), "there is nowhere to drag it");
      await page.evaluate(() => document.exitFullscreen());
      await until("the sub stream in the grid", async () => (await stream("front")) === "sub" && (await width("front")) === 320);
      check(Date.now() - (await pictureTime(page, shown("front"))) < 20_000, "it is live");
      // Looked at with the next frame that is drawn.
      await until("the last look", () => page.evaluate(() => window.seen.widths.at(-1) === 320));
      const seen = await page.evaluate(() => window.seen);
      check(seen.dark === 0 && seen.looks > 20, `${seen.dark} of ${seen.looks} looks without a picture; widths ${seen.widths}`);
      check(seen.widths.join() === "320,1280,320,1280,320", seen.widths.join());
      // Only what is shown is connected.
      check(!page.mistakes.length, page.mistakes.join("\n"));
    } finally {
      await server.remove();
    }
  }],
  ["sound is asked for where it costs delay only when somebody listens", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    const sockets = [];
    page.on("websocket", (ws) => sockets.push(new URL(ws.url()).search));
    await page.goto(server.address);
    await playing(page, "front");
    await tile(page, "front").hover();
    await tile(page, "front").getByRole("button", { name: /More for/ }).click();
    await page.getByRole("menuitemcheckbox", { name: "Only MSE", exact: true }).click();
    await until("by MSE", async () => (await path(page, "front")) === "mse");
    await moving(page, shown("front"));
    check(sockets.length === 1 && sockets[0].includes("audio=false"), sockets.join());
    await tile(page, "front").getByRole("button", { name: "Turn sound on" }).click();
    await until("another connection", () => sockets.length === 2);
    check(!sockets[1].includes("audio=false"), sockets.join());
    await until("it sounds", () => page.locator(shown("front")).first().evaluate((v) => !v.muted && v.webkitAudioDecodedByteCount > 0));
    await moving(page, shown("front"));
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["the menu of a small picture is all to be seen, wherever it stands", async ({ browser, server, shots }) => {
    for (const [device, width, height] of SIZES) {
      const page = await open(browser, server.address, { viewport: { width, height } });
      await page.goto(server.address);
      await page.getByText("16", { exact: true }).first().click();
      for (const camera of ["front", "yard"]) {
        const tile = page.locator(`.tile[data-camera=${camera}]`);
        await tile.hover();
        await tile.getByRole("button", { name: /More for/ }).click();
        const items = page.getByRole("menuitem");
        await items.first().waitFor();
        const hidden = await items.evaluateAll((all) => all.filter((item) => {
          const box = item.getBoundingClientRect();
          return !item.contains(document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2));
        }).map((item) => item.textContent));
        check(!hidden.length, `${device}, ${camera}: ${hidden} cannot be seen`);
        if (shots) await page.screenshot({ path: `${shots}/live-menu-${device}-${camera}.png` });
        await page.keyboard.press("Escape");
        await until("it is closed", async () => (await items.count()) === 0);
      }
      check(!page.mistakes.length, page.mistakes.join("\n"));
      await page.context().close();
    }
  }],
];
