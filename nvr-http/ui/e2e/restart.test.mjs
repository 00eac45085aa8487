import { check, moving, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  const server = await Server.start('auth = "none"', [["front", "Front door", "test:?size=640x360&fps=15&gop=15", []]]);
  await server.footage("front", 4);
  return { server };
}
export const after = ({ server }) => server.remove();

export const tests = [
  ["live goes on by itself after the recorder was started again", async ({ browser, server }) => {
    const page = await open(browser, server.address);
    await page.goto(server.address);
    const shown = ".tile .tile-media:not([hidden])";
    await moving(page, shown);
    await server.end();
    await page.getByText("The recorder does not answer").first().waitFor();
    await server.run();
    const again = Date.now();
    await until("live again", async () => (await moving(page, shown)) > again);
    await until("the notice goes", async () => (await page.getByText("The recorder does not answer").count()) === 0);
    check(!page.mistakes.length, page.mistakes.join("\n"));
  }],
];
