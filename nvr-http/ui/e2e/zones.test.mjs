// Zones, lines and masks, drawn over the picture of a camera: by mouse, by keyboard, by finger; saved to the file, and seen in pictures.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { check, looks, open, serious } from "./page.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  const server = await Server.start('auth = "none"', [
    ["front", "Front door", "test:?size=640x360&fps=10&gop=10&audio=0&pattern=white", ["# Kept by whoever changes the rest.", 'motion_zones = "gate @70: 0.1,0.2 0.4,0.2 0.4,0.9 0.1,0.9"']],
  ]);
  await server.footage("front", 3);
  return { server };
}
export const after = ({ server }) => server.remove();

/** A finger on the canvas, in shares of it. */
async function finger(page) {
  const box = await page.locator(".zones-canvas").boundingBox();
  const touch = await page.context().newCDPSession(page);
  return (type, px, py) => touch.send("Input.dispatchTouchEvent", { type, touchPoints: type === "touchEnd" ? [] : [{ x: box.x + px * box.width, y: box.y + py * box.height }] });
}

async function editor(browser, server, options) {
  const page = await open(browser, server.address, options);
  await page.goto(`${server.address}/settings?section=cameras&entry=front`);
  await page.getByRole("button", { name: "Zones, lines and masks" }).click();
  await page.locator("dialog .zones-canvas").waitFor();
  await until("the picture is there", () => page.locator(".zones-picture img").evaluate((i) => i.complete && i.naturalWidth > 0));
  return page;
}

const file = (server) => readFileSync(join(server.folder, "nvr.toml"), "utf8");
const shapes = (page) => page.locator(".zones-canvas [data-shape]").evaluateAll((all) => all.map((p) => [p.dataset.shape, p.getAttribute("points")]));

/** Mean brightness of a part of the camera's picture, 0 to 255. */
function brightness(page, x, y) {
  return page.evaluate(async ([x, y]) => {
    const response = await fetch(`/api/v1/cameras/front/snapshot.jpg?width=640`);
    const image = await createImageBitmap(await response.blob());
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(Math.round(x * image.width) - 4, Math.round(y * image.height) - 4, 8, 8);
    return data.filter((_, i) => i % 4 < 3).reduce((a, b) => a + b) / (64 * 3);
  }, [x, y]);
}

export const tests = [
  ["zones: a privacy mask is drawn, moved, taken back, saved, and covers the picture", async ({ browser, server }) => {
    const page = await editor(browser, server, { viewport: { width: 1280, height: 860 } });
    check((await shapes(page)).length === 1, "the zone of the file is there");
    await page.getByRole("button", { name: "Add: Privacy masks" }).click();
    const made = (await shapes(page))[1];
    check(made[0] === "privacy_masks", made.join());
    // By mouse: a corner, then all of it.
    const box = await page.locator(".zones-canvas").boundingBox();
    const to = (x, y) => [box.x + x * box.width, box.y + y * box.height];
    const drag = async (from, until) => {
      await page.mouse.move(...to(...from));
      await page.mouse.down();
      for (let n = 1; n <= 5; n++) await page.mouse.move(...to(from[0] + ((until[0] - from[0]) * n) / 5, from[1] + ((until[1] - from[1]) * n) / 5));
      await page.mouse.up();
    };
    const corner = (n) => page.locator(`[data-corner="${n}"]`);
    const first = made[1].split(" ")[0].split(",").map(Number);
    await drag(first, [0.2, 0.2]);
    const moved = (await shapes(page))[1][1].split(" ")[0].split(",").map(Number);
    check(Math.abs(moved[0] - 0.2) < 0.02 && Math.abs(moved[1] - 0.2) < 0.02, `dragged to ${moved}`);
    await page.getByRole("button", { name: "Undo" }).click();
    check((await shapes(page))[1][1] === made[1], "one step takes the whole drag back");
    await page.getByRole("button", { name: "Redo" }).click();
    // By keyboard: moved, one more, one less.
    await corner(1).focus();
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("Enter");
    check((await corner(4).count()) === 1, "a corner more");
    check(await page.evaluate(() => document.activeElement.dataset.corner === "2"), "it has the focus");
    await page.keyboard.press("Delete");
    check((await corner(4).count()) === 0, "a corner less");
    await page.keyboard.press("Control+z");
    check((await corner(4).count()) === 1, "by the keyboard, too");
    await page.keyboard.press("Control+y");
    // Of the dots between corners.
    const dots = page.locator(".zones-middle");
    check((await dots.count()) === 4, "a dot on each edge");
    const name = page.locator(".zones-lists input[type=text], .zones-lists input:not([type])").first();
    await name.fill("");
    await page.getByText("It needs a name.").first().waitFor();
    check(await page.getByRole("button", { name: "Take over" }).isDisabled(), "without a name it is not taken");
    await name.fill("window");
    const findings = await looks(page, "zones-desk", process.env.SHOTS);
    check(!findings.length, findings.join("\n"));
    await page.getByRole("button", { name: "Take over" }).click();
    check(!file(server).includes("privacy_masks"), "nothing is written yet");
    await page.locator(".save-bar").getByRole("button", { name: "Save" }).click();
    await until("it is in the file", () => file(server).includes('privacy_masks = "window: '));
    check(file(server).includes("# Kept by whoever changes the rest.") && file(server).includes('motion_zones = "gate @70: 0.1,0.2 0.4,0.2 0.4,0.9 0.1,0.9"'), "all else stays");
    await until("the recorder has it", async () => (await server.get("/cameras/front")).privacy?.masks.join() === "window");
    await until("the picture is covered", async () => (await brightness(page, 0.45, 0.42)) < 30);
    check((await brightness(page, 0.85, 0.85)) > 150, "the rest is not");
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["zones: by finger on a phone", async ({ browser, server }) => {
    const page = await editor(browser, server, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    const before = await shapes(page);
    await page.getByRole("button", { name: "Add: Motion masks" }).tap();
    const [, points] = (await shapes(page)).at(-1);
    await page.locator("dialog .zones-canvas").scrollIntoViewIfNeeded();
    const [x, y] = points.split(" ")[2].split(",").map(Number);
    const send = await finger(page);
    await send("touchStart", x, y);
    for (let n = 1; n <= 5; n++) await send("touchMove", x + (0.95 - x) * (n / 5), y + (0.9 - y) * (n / 5));
    await send("touchEnd");
    const after = (await shapes(page)).at(-1)[1].split(" ")[2].split(",").map(Number);
    check(Math.abs(after[0] - 0.95) < 0.03 && Math.abs(after[1] - 0.9) < 0.05, `a finger moves a corner: ${after}`);
    const findings = await looks(page, "zones-phone", process.env.SHOTS);
    check(!findings.length, findings.join("\n"));
    await page.locator(".zones-lists [data-chosen]").getByRole("button", { name: /^Delete/ }).tap();
    check((await shapes(page)).length === before.length, "it is gone again");
    await page.getByRole("button", { name: "Cancel" }).tap();
    check((await page.locator(".save-bar").count()) === 0, "nothing changed");
    check(!(await serious(page)).length && !page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["zones: a sensitivity is changed; what was not touched stays as it is written", async ({ browser, server }) => {
    const path = join(server.folder, "nvr.toml");
    writeFileSync(path, file(server).replace(/motion_zones = "[^"]*"/, 'motion_zones = "gate: 0.1,0.2 0.4,0.2 0.4,0.9 0.1,0.9"\nmotion_masks = "0,0 0.2,0 0.2,0.1"'));
    const page = await editor(browser, server, { viewport: { width: 1280, height: 860 } });
    check((await shapes(page)).filter(([kind]) => kind === "motion_masks").length === 1, "changes by hand are seen");
    await page.getByLabel("Sensitivity of its own").fill("30");
    await page.getByRole("button", { name: "Take over" }).click();
    await page.locator(".save-bar").getByRole("button", { name: "Save" }).click();
    await until("it is in the file", () => file(server).includes('motion_zones = "gate @30: 0.1,0.2'));
    check(file(server).includes('motion_masks = "0,0 0.2,0 0.2,0.1"'), "what was not touched is as it was written");
  }],
  ["zones: what was drawn is not dropped without a question, however often Escape is pressed", async ({ browser, server }) => {
    const page = await editor(browser, server, { viewport: { width: 1280, height: 860 } });
    const before = (await shapes(page)).length;
    await page.getByRole("button", { name: "Add: Motion masks" }).click();
    const question = page.getByRole("dialog", { name: "Drop what was drawn?" });
    for (let n = 0; n < 3; n++) {
      await page.keyboard.press("Escape");
      await question.waitFor();
      await page.keyboard.press("Escape");
      await question.waitFor({ state: "detached" });
      check((await shapes(page)).length === before + 1, "it is still there");
    }
    // And the question lies above the editor.
    await page.keyboard.press("Escape");
    await question.getByRole("button", { name: "Go on drawing" }).click();
    await page.locator("dialog[open]").getByRole("button", { name: "Close" }).click();
    await question.getByRole("button", { name: "Go on drawing" }).click();
    await page.getByRole("button", { name: "Cancel" }).click();
    check(!(await serious(page)).length, "the question can be read by all");
    await question.getByRole("button", { name: "Drop it" }).click();
    await until("the editor is closed", async () => (await page.locator("dialog").count()) === 0);
    check((await page.locator(".save-bar").count()) === 0, "nothing was taken over");
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["zones: a line is drawn by two presses, turned, moved by keyboard, taken back, saved, and watched", async ({ browser, server }) => {
    const page = await editor(browser, server, { viewport: { width: 1280, height: 860 } });
    const lines = async () => (await shapes(page)).filter(([kind]) => kind === "motion_lines").map(([, points]) => points.split(" ").map((p) => p.split(",").map(Number)));
    const near = (point, x, y) => Math.hypot(point[0] - x, point[1] - y) < 0.01;
    const add = page.getByRole("button", { name: "Add: Lines" });
    const box = await page.locator(".zones-canvas").boundingBox();
    const press = (x, y) => page.mouse.click(box.x + x * box.width, box.y + y * box.height);
    await add.click();
    await page.getByText("Press where the line begins").first().waitFor();
    await page.keyboard.press("Escape");
    check((await page.locator(".zones-drawing").count()) === 0 && (await page.locator("dialog[open]").count()) === 1, "Escape leaves the drawing, not the editor");
    await add.click();
    await press(0.2, 0.7);
    await press(0.205, 0.7);
    check((await lines()).length === 0, "two presses at one place are no line");
    await page.mouse.move(box.x + 0.5 * box.width, box.y + 0.6 * box.height);
    // Over another area, too.
    await press(0.3, 0.4);
    const [drawn] = await lines();
    check(near(drawn[0], 0.2, 0.7) && near(drawn[1], 0.3, 0.4), `drawn at ${drawn}`);
    const heads = page.locator("[data-arrow]");
    check((await heads.count()) === 2, "both ways count");
    await page.getByLabel("Which way counts").selectOption("left_to_right");
    check((await heads.count()) === 1, "one way counts");
    const [foot, tip] = (await heads.getAttribute("points")).split(" ").map((p) => p.split(",").map(Number));
    check(tip[0] > foot[0] && tip[1] > foot[1], `upwards, from left to right is to the right: ${foot} to ${tip}`);
    await page.getByRole("button", { name: "Undo" }).click();
    check((await heads.count()) === 2, "the direction is taken back");
    await page.getByRole("button", { name: "Redo" }).click();
    await page.locator('[data-corner="1"]').focus();
    await page.keyboard.press("ArrowRight");
    check(near((await lines())[0][1], 0.31, 0.4), "a point moves by keyboard");
    await page.keyboard.press("Enter");
    await page.keyboard.press("Delete");
    check((await page.locator("[data-corner]").count()) === 2, "a line has two points");
    await page.locator("dialog").getByLabel("Name", { exact: true }).fill("way: in");
    // All of it is made by keyboard, from the middle.
    await add.focus();
    await page.keyboard.press("Enter");
    check((await lines()).length === 2, "a second one");
    const findings = await looks(page, "zones-lines-desk", process.env.SHOTS);
    check(!findings.length, findings.join("\n"));
    await page.getByRole("button", { name: "Line line" }).focus();
    await page.keyboard.press("Delete");
    check((await lines()).length === 1, "and gone");
    await page.getByRole("button", { name: "Take over" }).click();
    await page.locator(".save-bar").getByRole("button", { name: "Save" }).click();
    await until("it is in the file", () => /motion_lines/.test(file(server)) && file(server).includes('"way: in"') && file(server).includes("left_to_right"));
    await until("the recorder watches it", async () => JSON.stringify(await server.get("/cameras/front/motion/now")).includes("way: in"));
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["zones: a line is drawn with a finger", async ({ browser, server }) => {
    const page = await editor(browser, server, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    const lines = async () => (await shapes(page)).filter(([kind]) => kind === "motion_lines").length;
    const before = await lines();
    await page.getByRole("button", { name: "Add: Lines" }).tap();
    await page.locator("dialog .zones-canvas").scrollIntoViewIfNeeded();
    const send = await finger(page);
    await send("touchStart", 0.2, 0.8);
    for (let n = 1; n <= 5; n++) await send("touchMove", 0.2 + 0.12 * n, 0.8);
    await send("touchEnd");
    check((await lines()) === before + 1, "drawn along it is a line");
    const findings = await looks(page, "zones-lines-phone", process.env.SHOTS);
    check(!findings.length, findings.join("\n"));
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
];
