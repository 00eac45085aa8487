// Pictures of pages: node e2e/shots.mjs ADDRESS FOLDER [PATH ...]
import { mkdirSync } from "node:fs";
import { launch } from "./browser.mjs";
import { fromDist } from "./page.mjs";

const [address, folder, ...paths] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const browser = await launch();
const all = paths.length ? paths : ["/", "/timeline", "/recordings", "/events", "/alerts", "/bookings", "/jobs", "/storage", "/system", "/settings", "/users", "/privacy"];
for (const [name, width, height] of [["desk", 1440, 900], ["phone", 360, 740]]) {
  for (const scheme of ["dark", "light"]) {
    const fresh = process.env.FRESH ? { serviceWorkers: "block" } : {};
    const context = await browser.newContext({ ...fresh, viewport: { width, height }, colorScheme: scheme, locale: "en-GB", deviceScaleFactor: 1 });
    if (process.env.FRESH) await context.route((url) => url.origin === address && !/^\/(api\/|health)/.test(url.pathname), fromDist);
    const page = await context.newPage();
    page.on("console", (m) => m.type() === "error" && console.log(m.text()));
    page.on("pageerror", (e) => console.log(`page error: ${e.message}`));
    for (const path of all) {
      await page.goto(address + path);
      await page.waitForTimeout(Number(process.env.WAIT ?? 2500));
      await page.screenshot({ path: `${folder}/${path.replace(/\W+/g, "") || "live"}-${name}-${scheme}.png` });
    }
    await context.close();
  }
}
await browser.close();
