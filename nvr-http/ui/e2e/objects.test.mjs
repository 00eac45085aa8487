// What a network finds in moving pictures: told with its picture, in which it is framed.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { brightModel } from "./onnx.mjs";
import { SIZES, check, looks, open } from "./page.mjs";
import { Server, until } from "./server.mjs";

export async function before() {
  // Something bright goes through a yard, which the network takes for a lamp. Bright windows are there, too: they do not move.
  const server = await Server.start('auth = "none"', [["front", "Front door", "test:?size=640x360&fps=10&gop=5&audio=0&pattern=mover&still=4&moving=6", ["motion = true"]]], (folder) => {
    writeFileSync(join(folder, "bright.onnx"), brightModel("lamp"));
    return '[objects]\nmodel = "bright.onnx"\nthreshold = 0.75';
  });
  await server.footage("front", 3);
  return { server };
}
export const after = ({ server }) => server.remove();

export const tests = [
  ["what the network finds is in the list, framed where it is, and a mark of the timeline", async ({ browser, server, shots }) => {
    const found = await until("something is found", async () => (await server.get("/detections?kind=object")).detections[0]);
    check(found.label === "lamp" && found.data.box.length === 4, JSON.stringify(found));
    const findings = [];
    for (const [device, width, height] of SIZES) {
      const page = await open(browser, server.address, { viewport: { width, height } });
      await page.goto(`${server.address}/events?what=object`);
      const row = page.getByRole("link", { name: /lamp/ }).last();
      await row.waitFor();
      const frame = row.locator(".thumb-box");
      await frame.waitFor();
      const [thumb, box] = [await row.locator(".thumb").boundingBox(), await frame.boundingBox()];
      check(box.x >= thumb.x - 2 && box.y >= thumb.y - 2 && box.x + box.width <= thumb.x + thumb.width + 2 && box.y + box.height <= thumb.y + thumb.height + 2, `the frame is in the picture: ${JSON.stringify([thumb, box])}`);
      // What is in the frame is brighter than the rest of the picture.
      const [inside, whole] = await row.evaluate((link) => {
        const [img, box] = [link.querySelector("img"), link.querySelector(".thumb-box")];
        const canvas = new OffscreenCanvas(img.naturalWidth, img.naturalHeight);
        const context = canvas.getContext("2d");
        context.drawImage(img, 0, 0);
        const mean = (x, y, w, h) => {
          const { data } = context.getImageData(Math.max(0, Math.round(x)), Math.max(0, Math.round(y)), Math.max(1, Math.round(w)), Math.max(1, Math.round(h)));
          return data.filter((_, i) => i % 4 < 3).reduce((a, b) => a + b, 0) / (data.length * 0.75);
        };
        const part = (name) => parseFloat(box.style[name]) / 100;
        return [mean(part("left") * canvas.width, part("top") * canvas.height, part("width") * canvas.width, part("height") * canvas.height), mean(0, 0, canvas.width, canvas.height)];
      });
      check(inside > whole + 10, `the thing is in the frame: ${inside} there, ${whole} in all of it`);
      findings.push(...(await looks(page, `objects-list-${device}`, shots)));
      await page.goto(`${server.address}/timeline?camera=front`);
      await page.locator(".seen-mark").first().waitFor();
      findings.push(...(await looks(page, `objects-timeline-${device}`, shots)));
      check(!page.mistakes.length, page.mistakes.join("\n"));
      await page.context().close();
    }
    check(!findings.length, findings.join("\n"));
  }],
];
