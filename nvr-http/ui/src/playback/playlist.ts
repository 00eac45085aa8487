/** A piece of footage that can be fetched and played by itself: it begins with a keyframe. */
export interface Piece {
  /** Unix milliseconds. */
  start: number;
  end: number;
  url: string;
  /** Bytes of the file, or the whole of it. */
  range: { first: number; length: number } | null;
  /** Head of the file: what the piece needs before it. */
  head: { url: string; range: { first: number; length: number } | null };
}

const bytesOf = (text: string): { first: number; length: number } | null => {
  const m = /^(\d+)@(\d+)$/.exec(text);
  return m ? { length: Number(m[1]), first: Number(m[2]) } : null;
};

/** Reads a media playlist (RFC 8216) of fragmented MP4 whose pieces have dates. Addresses are relative to `base`. */
export function parsePlaylist(text: string, base: string): { pieces: Piece[]; ended: boolean } {
  const pieces: Piece[] = [];
  let head: Piece["head"] | null = null;
  let range: Piece["range"] = null;
  let seconds = 0;
  let clock: number | null = null;
  let ended = false;
  for (const line of text.split(/\r?\n/)) {
    if (!line) continue;
    if (line.startsWith("#EXT-X-MAP:")) {
      const uri = /URI="([^"]+)"/.exec(line)?.[1];
      if (uri) head = { url: new URL(uri, base).href, range: bytesOf(/BYTERANGE="([^"]+)"/.exec(line)?.[1] ?? "") };
    } else if (line.startsWith("#EXT-X-PROGRAM-DATE-TIME:")) clock = Date.parse(line.slice(25));
    else if (line.startsWith("#EXTINF:")) seconds = Number.parseFloat(line.slice(8));
    else if (line.startsWith("#EXT-X-BYTERANGE:")) range = bytesOf(line.slice(17));
    else if (line === "#EXT-X-ENDLIST") ended = true;
    else if (!line.startsWith("#") && head && clock !== null && seconds > 0) {
      const start: number = clock;
      clock = start + seconds * 1000;
      pieces.push({ start, end: clock, url: new URL(line, base).href, range, head });
      range = null;
    }
  }
  return { pieces, ended };
}

/** Index of the piece that covers a moment; those before it that nearly reach it count (times are rounded). */
export function pieceAt(pieces: readonly Piece[], time: number, slack = 0): number {
  let [low, high] = [0, pieces.length - 1];
  while (low <= high) {
    const middle = (low + high) >> 1;
    const piece = pieces[middle];
    if (!piece) break;
    if (time < piece.start) high = middle - 1;
    else if (time >= piece.end) low = middle + 1;
    else return middle;
  }
  const after = pieces[low];
  if (after && after.start - time <= slack) return low;
  const before = pieces[high];
  if (before && time - before.end <= slack) return high;
  return -1;
}

/** The piece of an index, and those that follow on it without a gap and begin before a moment. */
export function following(pieces: readonly Piece[], from: number, until: number, slack: number): Piece[] {
  const isNext = (piece: Piece | undefined, last: Piece | undefined) => piece && last && piece.start - last.end <= slack && piece.start < until;
  let end = from + 1;
  while (isNext(pieces[end], pieces[end - 1])) end++;
  return pieces.slice(from, end);
}

/**
 * Puts new pieces among the known ones, in order; a new one replaces those it overlaps. What reaches into the first new
 * one keeps what comes before it: pieces are cut anew from wherever a list begins, and else there would be a hole.
 */
export function merge(known: readonly Piece[], fresh: readonly Piece[]): Piece[] {
  const first = fresh[0];
  const last = fresh.at(-1);
  if (!first || !last) return [...known];
  const TOLERANCE = 20;
  const before = known
    .filter((p) => p.start < first.start - TOLERANCE || (p.start < first.start && p.end <= first.start + TOLERANCE))
    .map((p) => (p.end > first.start + TOLERANCE ? { ...p, end: first.start } : p));
  const after = known.filter((p) => p.start >= last.end - TOLERANCE);
  return [...before, ...fresh, ...after];
}
