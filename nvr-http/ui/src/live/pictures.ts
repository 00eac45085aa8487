import { request } from "~/api/client";
import { at } from "~/lib/base";
import { type Driver, type Stage, addressOf, socketOf, until } from "./driver";

/** Frame number and time stand before the JPEG, 8 bytes each. */
const HEAD = 16;

/** Puts a picture in place of the one before. */
function put({ image, show }: Stage, blob: Blob): void {
  const old = image.src;
  image.src = URL.createObjectURL(blob);
  if (old.startsWith("blob:")) URL.revokeObjectURL(old);
  show("image");
}

function clear(image: HTMLImageElement): void {
  if (image.src.startsWith("blob:")) URL.revokeObjectURL(image.src);
  image.removeAttribute("src");
}

/** JPEG over a WebSocket, as fast as the page shows them. */
export const preview: Driver = async (stage) => {
  const { image, signal, alive, sampler } = stage;
  const socket = socketOf(stage, "preview", { width: stage.width(), fps: 10 });
  socket.binaryType = "arraybuffer";
  let [bytes, frames, latency] = [0, 0, 0];
  try {
    sampler(() => ({ bytes, frames, lost: null, roundTrip: null, latency: frames ? latency : null, width: image.naturalWidth, height: image.naturalHeight }));
    return await until<string>(signal, (resolve, reject) => {
      socket.onmessage = async (message: MessageEvent<ArrayBuffer | string>) => {
        if (typeof message.data === "string") return;
        const view = new DataView(message.data);
        const number = view.getBigUint64(0);
        latency = (Date.now() - Number(view.getBigInt64(8) / 1_000_000n)) / 1000;
        bytes += message.data.byteLength;
        frames += 1;
        put(stage, new Blob([message.data.slice(HEAD)], { type: "image/jpeg" }));
        alive();
        await image.decode().catch(() => {});
        if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ ack: Number(number) }));
      };
      socket.onclose = (e) => resolve(e.reason || "the connection was closed");
      socket.onerror = () => reject(new Error("the WebSocket cannot be opened"));
      return () => {
        socket.onmessage = socket.onclose = socket.onerror = null;
      };
    });
  } finally {
    socket.close();
    clear(image);
  }
};

/** A stream of JPEG that an image shows by itself. */
export const mjpeg: Driver = async (stage) => {
  const { image, signal, alive, show, sampler, width } = stage;
  let frames = 0;
  try {
    sampler(() => ({ bytes: null, frames, lost: null, roundTrip: null, latency: null, width: image.naturalWidth, height: image.naturalHeight }));
    return await until<string>(signal, (_, reject) => {
      // An image tells of its first picture only, so that it still moves is looked up in what it shows.
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = 8;
      const context = canvas.getContext("2d", { willReadFrequently: true });
      let before = "";
      const watch = setInterval(() => {
        if (!image.naturalWidth || !context) return;
        context.drawImage(image, 0, 0, 8, 8);
        const now = String(context.getImageData(0, 0, 8, 8).data);
        if (now !== before) alive();
        before = now;
      }, 500);
      image.onload = () => {
        frames += 1;
        show("image");
        alive();
      };
      image.onerror = () => reject(new Error("the stream of pictures failed"));
      image.src = addressOf(stage, "live.mjpeg", { width: width(), fps: 10 });
      return () => {
        clearInterval(watch);
        image.onload = image.onerror = null;
      };
    });
  } finally {
    // Only another address ends the request.
    image.src = at("/icon.svg");
    clear(image);
  }
};

/** One still a second: what every recorder can. */
export const pictures: Driver = async (stage) => {
  const { camera, image, signal, alive, sampler } = stage;
  let [bytes, frames, taken] = [0, 0, 0];
  try {
    sampler(() => ({ bytes, frames, lost: null, roundTrip: null, latency: taken ? (Date.now() - taken) / 1000 : null, width: image.naturalWidth, height: image.naturalHeight }));
    let last = "";
    for (;;) {
      const answer = await request(`/cameras/${camera}/snapshot.jpg`, { query: { width: stage.width() }, signal });
      const time = answer.headers.get("x-frame-time") ?? "";
      const blob = await answer.blob();
      if (signal.aborted) throw new Error("stopped");
      // The same picture again is none.
      if (time !== last) {
        bytes += blob.size;
        frames += 1;
        taken = Date.parse(time);
        put(stage, blob);
        alive();
      }
      last = time;
      await new Promise((done) => setTimeout(done, 1000));
      if (signal.aborted) throw new Error("stopped");
    }
  } finally {
    clear(image);
  }
};
