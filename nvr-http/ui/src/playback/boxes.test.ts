import { describe, expect, it } from "vitest";
import { readHead, readPiece } from "./boxes";

const text = (s: string) => [...s].map((c) => c.charCodeAt(0));
const u32 = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255];
const zeros = (n: number) => Array<number>(n).fill(0);
const box = (type: string, ...content: number[][]): number[] => {
  const all = content.flat();
  return [...u32(all.length + 8), ...text(type), ...all];
};
const tkhd = (id: number) => box("tkhd", zeros(12), u32(id), zeros(60));
const trak = (id: number, handler: string, timescale: number, entry: number[]) =>
  box("trak", tkhd(id), box("mdia", box("mdhd", zeros(12), u32(timescale), zeros(8)), box("hdlr", zeros(8), text(handler), zeros(12)), box("minf", box("stbl", box("stsd", zeros(4), u32(1), entry)))));
const avc1 = box("avc1", zeros(78), box("avcC", [1, 0x64, 0x00, 0x1f, 0xff]));
const hvcC = [1, 0x01, 0x60, 0, 0, 0, 0xb0, 0, 0, 0, 0, 0, 93, ...zeros(10)];
const hvc1 = box("hvc1", zeros(78), box("hvcC", hvcC));
const trex = (id: number) => box("trex", zeros(4), u32(id), zeros(16));
const head = (video: number[], audio: string) =>
  new Uint8Array([...box("ftyp", text("iso6")), ...box("moov", trak(1, "vide", 90_000, video), trak(2, "soun", 8000, box(audio, zeros(28))), box("mvex", trex(1), trex(2)))]);
const piece = () =>
  new Uint8Array([
    ...box("moof", box("mfhd", zeros(8)), box("traf", box("tfhd", zeros(4), u32(2)), box("tfdt", zeros(4), u32(8000))), box("traf", box("tfhd", zeros(4), u32(1)), box("tfdt", [1, 0, 0, 0], u32(0), u32(180_000)))),
    ...box("mdat", zeros(9)),
  ]);
const count = (bytes: Uint8Array, word: string) => new TextDecoder("latin1").decode(bytes).split(word).length - 1;

describe("boxes", () => {
  it("names the codecs of a head", () => {
    expect(readHead(head(avc1, "mp4a")).mime).toBe('video/mp4; codecs="avc1.64001f,mp4a.40.2"');
    expect(readHead(head(hvc1, "Opus")).mime).toBe('video/mp4; codecs="hvc1.1.6.L93.b0,opus"');
  });
  it("tells when a piece begins, by its video", () => {
    expect(readPiece(piece(), readHead(head(avc1, "mp4a")))).toBe(2);
  });
  it("hides sound that no browser plays, without moving a byte", () => {
    const bytes = head(avc1, "alaw");
    const size = bytes.length;
    const read = readHead(bytes);
    expect(read.mime).toBe('video/mp4; codecs="avc1.64001f"');
    expect([...read.hidden]).toEqual([2]);
    expect(bytes.length).toBe(size);
    expect(count(bytes, "trak")).toBe(1);
    expect(count(bytes, "trex")).toBe(1);
    const fragment = piece();
    expect(readPiece(fragment, read)).toBe(2);
    expect(count(fragment, "traf")).toBe(1);
  });
  it("refuses what is no head, and stops at broken sizes", () => {
    expect(() => readHead(new Uint8Array(box("ftyp", text("iso6"))))).toThrow();
    expect(() => readHead(new Uint8Array([0, 0, 0, 200, ...text("moov")]))).toThrow();
    expect(() => readHead(new Uint8Array([0, 0, 0, 2, ...text("moov"), 0]))).toThrow();
    expect(readPiece(new Uint8Array([0, 0]), readHead(head(avc1, "mp4a")))).toBeNull();
  });
});
