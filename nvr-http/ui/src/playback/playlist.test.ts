import { describe, expect, it } from "vitest";
import { merge, parsePlaylist, pieceAt } from "./playlist";

const TEXT = `#EXTM3U
#EXT-X-MAP:URI="../../segments/6.mp4?v=c",BYTERANGE="1205@0"
#EXT-X-PROGRAM-DATE-TIME:2026-11-28T14:28:59.987Z
#EXTINF:2.000000,
#EXT-X-BYTERANGE:419717@12139007
../../segments/6.mp4?v=c
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="../../segments/8.mp4?v=f",BYTERANGE="1205@0"
#EXT-X-PROGRAM-DATE-TIME:2026-11-28T14:30:01.987Z
#EXTINF:4.000000,
#EXT-X-BYTERANGE:836312@1205
../../segments/8.mp4?v=f
#EXTINF:3.5,
#EXT-X-BYTERANGE:838252@837517
../../segments/8.mp4?v=f
#EXT-X-ENDLIST
`;
const BASE = "http://nvr/below/api/v1/cameras/front/media.m3u8";

describe("playlist", () => {
  const { pieces, ended } = parsePlaylist(TEXT, BASE);
  it("knows when and where each piece is", () => {
    expect(ended).toBe(true);
    expect(pieces).toHaveLength(3);
    expect(pieces[0]).toEqual({
      start: Date.parse("2026-11-28T14:28:59.987Z"),
      end: Date.parse("2026-11-28T14:29:01.987Z"),
      url: "http://nvr/below/api/v1/segments/6.mp4?v=c",
      range: { first: 12139007, length: 419717 },
      head: { url: "http://nvr/below/api/v1/segments/6.mp4?v=c", range: { first: 0, length: 1205 } },
    });
    expect(pieces[2]?.start).toBe(Date.parse("2026-11-28T14:30:05.987Z"));
    expect((pieces[2]?.end ?? 0) - (pieces[2]?.start ?? 0)).toBe(3500);
  });
  it("finds the piece of a moment, and none in a gap", () => {
    const at = (text: string, slack = 0) => pieceAt(pieces, Date.parse(text), slack);
    expect(at("2026-11-28T14:29:00Z")).toBe(0);
    expect(at("2026-11-28T14:30:05.986Z")).toBe(1);
    expect(at("2026-11-28T14:30:05.987Z")).toBe(2);
    expect(at("2026-11-28T14:29:30Z")).toBe(-1);
    expect(at("2026-11-28T14:28:00Z")).toBe(-1);
    expect(at("2026-11-28T14:29:02.000Z", 80)).toBe(0);
    expect(at("2026-11-28T14:30:01.950Z", 80)).toBe(1);
    expect(pieceAt([], 5)).toBe(-1);
  });
  it("takes new pieces for those they overlap", () => {
    const [a, b, c] = pieces;
    if (!a || !b || !c) throw new Error("three pieces");
    expect(merge([a, b], [b, c])).toEqual([a, b, c]);
    expect(merge([b, c], [a])).toEqual([a, b, c]);
    const longer = { ...b, end: c.end };
    expect(merge([a, b, c], [longer])).toEqual([a, longer]);
    expect(merge([a], [])).toEqual([a]);
    // What grew is listed from the last keyframe on: what comes before that keyframe stays.
    const grown = { ...c, start: b.start + 500 };
    expect(merge([a, b], [grown])).toEqual([a, { ...b, end: b.start + 500 }, grown]);
  });
});
