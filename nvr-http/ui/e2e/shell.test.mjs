import { get } from "node:http";
import { SIZES, check, looks, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  const server = await Server.start();
  await server.footage("front", 12);
  return { server };
}
export const after = ({ server }) => server.remove();

const PATHS = ["/", "/timeline", "/recordings", "/events", "/alerts", "/bookings", "/jobs", "/storage", "/system", "/settings", "/users", "/privacy"];
/** Bytes of a file on the way, packed as every browser can. */
const sizeOf = (file) => new Promise((done, failed) => {
  get(file, { headers: { "accept-encoding": "gzip" } }, (answer) => {
    let size = 0;
    answer.on("data", (piece) => (size += piece.length)).on("end", () => done(size)).on("error", failed);
  }).on("error", failed);
});
const settle = (page) => page.waitForTimeout(1500);

export const tests = [
  ["every page in dark and light, on desk and phone: no serious finding, nothing sideways, no mistake", async ({ browser, server, shots }) => {
    const findings = [];
    for (const [device, width, height] of SIZES) {
      const page = await open(browser, server.address, { viewport: { width, height } });
      for (const path of PATHS) {
        await page.goto(server.address + path);
        await page.locator("main h1, main .pane").first().waitFor();
        await settle(page);
        findings.push(...(await looks(page, `${path.slice(1) || "live"}-${device}`, shots)));
      }
      findings.push(...page.mistakes.map((m) => `${device}: ${m}`));
      await page.context().close();
    }
    check(!findings.length, [...new Set(findings)].join("\n"));
  }],
  ["the first load is small, with gzip too, and without the player", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    const files = new Set();
    page.on("request", (r) => {
      const url = new URL(r.url());
      if (url.protocol.startsWith("http") && !url.pathname.startsWith("/api/")) files.add(r.url());
    });
    await page.goto(server.address);
    await page.locator(".tile").first().waitFor();
    await settle(page);
    const sizes = await Promise.all([...files].map(async (file) => [new URL(file).pathname, await sizeOf(file)]));
    const sum = sizes.reduce((all, [, size]) => all + size, 0);
    const words = sizes.map(([path, size]) => `${path} ${size}`).join("\n");
    console.log(`      ${sum} bytes in ${sizes.length} files`);
    check(sum > 50_000 && sum < 250_000, `${sum} bytes:\n${words}`);
    check(!sizes.some(([path]) => /hls/.test(path)), `the player is loaded:\n${words}`);
  }],
  ["languages and appearance are chosen and remembered", async ({ browser, server }) => {
    const page = await open(browser, server.address, { colorScheme: "dark" });
    await page.goto(`${server.address}/privacy`);
    for (const [choice, word] of [["Deutsch", "Datenschutz"], ["Français", "Vie privée"], ["English", "Privacy"]]) {
      await page.locator(".side-account").click();
      await page.getByRole("menuitemcheckbox", { name: choice }).click();
      await page.getByRole("heading", { level: 1, name: word }).waitFor();
    }
    await page.locator(".side-account").click();
    await page.getByRole("menuitemcheckbox", { name: "Light" }).click();
    await page.reload();
    await page.getByRole("heading", { level: 1, name: "Privacy" }).waitFor();
    const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    check(background === "rgb(244, 245, 247)", background);
    await page.locator(".side-account").click();
    await page.getByRole("menuitemcheckbox", { name: "As the system" }).click();
    for (const [colorScheme, wanted] of [["dark", "rgb(10, 12, 15)"], ["light", "rgb(244, 245, 247)"]]) {
      await page.emulateMedia({ colorScheme });
      await until(`as the system: ${colorScheme}`, () => page.evaluate((wanted) => getComputedStyle(document.body).backgroundColor === wanted, wanted));
    }
  }],
  ["pages are reached by keyboard and by address, and unknown ones say so", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    await page.goto(server.address);
    await page.locator(".tile").first().waitFor();
    await page.keyboard.press("Tab");
    check(await page.locator(".skip").evaluate((e) => e === document.activeElement), "the first stop skips to the content");
    await page.keyboard.press("Enter");
    check(await page.evaluate(() => document.activeElement.id === "main"), "the content has focus");
    await page.getByRole("link", { name: "Privacy" }).press("Enter");
    await page.getByRole("heading", { level: 1, name: "Privacy" }).waitFor();
    check(page.url() === `${server.address}/privacy`, page.url());
    await page.goto(`${server.address}/nowhere`);
    await page.getByText("There is no such page").waitFor();
  }],
  ["a dialog gives the focus back to what opened it", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    await page.goto(`${server.address}/settings`);
    const opener = page.getByRole("button", { name: "Add camera" }).first();
    const dialog = page.locator("dialog[open]");
    for (const [way, leave] of [["Escape", () => page.keyboard.press("Escape")], ["its button", () => dialog.getByRole("button", { name: "Close" }).click()], ["a click beside it", () => page.mouse.click(5, 5)]]) {
      await opener.focus();
      await page.keyboard.press("Enter");
      await dialog.waitFor();
      await leave();
      await dialog.waitFor({ state: "detached" });
      check(await opener.evaluate((button) => button === document.activeElement), `${way}: it is at ${await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200))}`);
    }
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
  ["it can be installed, and says so when the recorder is away", async ({ browser }) => {
    const server = await Server.start('auth = "none"', [["front", "Front door", "test:?size=640x360&fps=10", []]]);
    try {
      const page = await open(browser, server.address);
      await page.goto(server.address);
      const manifest = await page.evaluate(async () => (await fetch(document.querySelector("link[rel=manifest]").href)).json());
      check(manifest.icons.some((i) => i.sizes === "512x512") && manifest.display === "standalone", JSON.stringify(manifest));
      await page.evaluate(() => navigator.serviceWorker.ready);
      await until("the worker has its files", () => page.evaluate(async () => !!(await caches.match(new URL("offline.html", document.baseURI)))));
      await server.end();
      await page.goto(`${server.address}/timeline`);
      await page.getByRole("heading", { name: "The recorder does not answer" }).waitFor();
      await server.run();
      await page.getByRole("navigation").first().waitFor();
      check(page.url().endsWith("/timeline"), page.url());
    } finally {
      await server.remove();
    }
  }],
];
