// As much of ISO BMFF (ISO/IEC 14496-12) as playing needs: codecs of a file's head, decode time of a fragment.

interface Box {
  type: string;
  /** First byte of the box, of its content, and behind it. */
  at: number;
  start: number;
  end: number;
}

function* boxes(view: DataView, from: number, to: number): Generator<Box> {
  let at = from;
  while (at + 8 <= to) {
    let size = view.getUint32(at);
    const type = String.fromCharCode(view.getUint8(at + 4), view.getUint8(at + 5), view.getUint8(at + 6), view.getUint8(at + 7));
    let start = at + 8;
    if (size === 1 && at + 16 <= to) {
      size = Number(view.getBigUint64(at + 8));
      start = at + 16;
    } else if (size === 0) size = to - at;
    if (size < start - at || at + size > to) return;
    yield { type, at, start, end: at + size };
    at += size;
  }
}

function find(view: DataView, path: string[], from = 0, to = view.byteLength): Box | null {
  const [type, ...rest] = path;
  for (const box of boxes(view, from, to)) {
    if (box.type === type) return rest.length ? find(view, rest, box.start, box.end) : box;
  }
  return null;
}

const hex = (n: number, digits = 2) => n.toString(16).padStart(digits, "0");

/** RFC 6381 name of what a sample description holds; null when no browser plays it. */
function codecOf(view: DataView, entry: Box): string | null {
  const VIDEO = 78;
  switch (entry.type) {
    case "avc1":
    case "avc3": {
      const config = find(view, ["avcC"], entry.start + VIDEO, entry.end);
      return config && `${entry.type}.${hex(view.getUint8(config.start + 1))}${hex(view.getUint8(config.start + 2))}${hex(view.getUint8(config.start + 3))}`;
    }
    case "hvc1":
    case "hev1": {
      // ISO/IEC 14496-15, annex E.
      const config = find(view, ["hvcC"], entry.start + VIDEO, entry.end);
      if (!config) return null;
      const c = config.start;
      const profile = view.getUint8(c + 1);
      let flags = 0;
      for (let bit = 0, all = view.getUint32(c + 2); bit < 32; bit++, all >>>= 1) flags = ((flags << 1) | (all & 1)) >>> 0;
      const constraints = Array.from({ length: 6 }, (_, n) => view.getUint8(c + 6 + n));
      while (constraints.length && constraints.at(-1) === 0) constraints.pop();
      const space = ["", "A", "B", "C"][profile >> 6];
      return [entry.type, `${space}${profile & 31}`, flags.toString(16), `${profile & 32 ? "H" : "L"}${view.getUint8(c + 12)}`, ...constraints.map((b) => b.toString(16))].join(".");
    }
    case "mp4a":
      return "mp4a.40.2";
    case "Opus":
      return "opus";
    case "fLaC":
      return "flac";
    default:
      return null;
  }
}

export interface Head {
  /** For a SourceBuffer. */
  mime: string;
  video: { id: number; timescale: number; codec: string };
  /** Tracks that browsers cannot play; they have to be hidden. */
  hidden: Set<number>;
  bytes: Uint8Array<ArrayBuffer>;
}

/** Makes a box one that is skipped. */
const blank = (bytes: Uint8Array, box: Box) => bytes.set([0x66, 0x72, 0x65, 0x65], box.at + 4);

/** Reads the head of a file, and hides in it the tracks that no browser plays. */
export function readHead(bytes: Uint8Array<ArrayBuffer>): Head {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const moov = find(view, ["moov"]);
  if (!moov) throw new Error("the file has no head");
  const codecs: string[] = [];
  const hidden = new Set<number>();
  let video: Head["video"] | null = null;
  for (const trak of boxes(view, moov.start, moov.end)) {
    if (trak.type !== "trak") continue;
    const tkhd = find(view, ["tkhd"], trak.start, trak.end);
    const mdhd = find(view, ["mdia", "mdhd"], trak.start, trak.end);
    const handler = find(view, ["mdia", "hdlr"], trak.start, trak.end);
    const stsd = find(view, ["mdia", "minf", "stbl", "stsd"], trak.start, trak.end);
    if (!tkhd || !mdhd || !handler || !stsd) continue;
    const id = view.getUint32(tkhd.start + (view.getUint8(tkhd.start) === 1 ? 20 : 12));
    const timescale = view.getUint32(mdhd.start + (view.getUint8(mdhd.start) === 1 ? 20 : 12));
    const entry = [...boxes(view, stsd.start + 8, stsd.end)][0];
    const codec = entry ? codecOf(view, entry) : null;
    const isVideo = view.getUint32(handler.start + 8) === 0x76696465;
    if (isVideo && codec && !video) {
      video = { id, timescale, codec };
      codecs.unshift(codec);
    } else if (!isVideo && codec) codecs.push(codec);
    else {
      hidden.add(id);
      blank(bytes, trak);
    }
  }
  if (!video) throw new Error("the file has no video that is known");
  const mvex = find(view, ["mvex"], moov.start, moov.end);
  for (const trex of mvex ? boxes(view, mvex.start, mvex.end) : []) {
    if (trex.type === "trex" && hidden.has(view.getUint32(trex.start + 4))) blank(bytes, trex);
  }
  return { mime: `video/mp4; codecs="${codecs.join(",")}"`, video, hidden, bytes };
}

/** Seconds at which the video of a piece begins in its own time; hides in it what the head hides. */
export function readPiece(bytes: Uint8Array, head: Head): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let begin: number | null = null;
  for (const moof of boxes(view, 0, view.byteLength)) {
    if (moof.type !== "moof") continue;
    for (const traf of boxes(view, moof.start, moof.end)) {
      if (traf.type !== "traf") continue;
      const tfhd = find(view, ["tfhd"], traf.start, traf.end);
      const id = tfhd ? view.getUint32(tfhd.start + 4) : 0;
      if (head.hidden.has(id)) blank(bytes, traf);
      if (id !== head.video.id || begin !== null) continue;
      const tfdt = find(view, ["tfdt"], traf.start, traf.end);
      if (!tfdt) continue;
      const ticks = view.getUint8(tfdt.start) === 1 ? Number(view.getBigUint64(tfdt.start + 4)) : view.getUint32(tfdt.start + 4);
      begin = ticks / head.video.timescale;
    }
  }
  return begin;
}
