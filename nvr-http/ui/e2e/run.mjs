// All tests of the page in Chromium, or those whose names hold one of the words given: npm run e2e -- timeline
import { mkdirSync } from "node:fs";
import { launch } from "./browser.mjs";
import { Server } from "./server.mjs";

const files = ["shell", "live", "timeline", "events", "objects", "alerts", "manage", "share", "pushes", "ptz", "zones", "restart", "accounts", "stills"];
const wanted = process.argv.slice(2);
const shots = process.env.SHOTS;
if (shots) mkdirSync(shots, { recursive: true });

// What a test left running when its page was closed.
process.on("unhandledRejection", (e) => {
  if (!/has been closed|Target closed/.test(String(e))) throw e;
});

const browser = await launch();
let [passed, failed] = [0, 0];
for (const file of files) {
  const { tests, before, after } = await import(`./${file}.test.mjs`);
  const chosen = tests.filter(([name]) => !wanted.length || wanted.some((w) => `${file} ${name}`.includes(w)));
  if (!chosen.length) continue;
  let world;
  try {
    world = (await before?.()) ?? {};
  } catch (e) {
    failed += chosen.length;
    console.log(`FAIL  ${file}: none of its tests could begin\n${e.stack ?? e}`);
    await Server.removeAll();
    continue;
  }
  Object.assign(world, { browser, shots });
  for (const [name, run] of chosen) {
    const begin = Date.now();
    const contexts = browser.contexts().length;
    try {
      await run(world);
      passed += 1;
      console.log(`ok    ${file}: ${name} (${((Date.now() - begin) / 1000).toFixed(1)} s)`);
    } catch (e) {
      failed += 1;
      console.log(`FAIL  ${file}: ${name}\n${e.stack ?? e}`);
      if (shots) await Promise.all(browser.contexts().slice(contexts).flatMap((c) => c.pages()).map((p, n) => p.screenshot({ path: `${shots}/failed-${file}-${n}.png` }).catch(() => {})));
    }
    for (const context of browser.contexts().slice(contexts)) await context.close().catch(() => {});
  }
  await after?.(world);
}
await browser.close();
console.log(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed || !passed ? 1 : 0;
