/** Boxes at the top of an ISO file: [type, begin, end]. */
export function topBoxes(bytes) {
  const found = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at);
    if (size < 8) break;
    found.push([bytes.subarray(at + 4, at + 8).toString("latin1"), at, at + size]);
    at += size;
  }
  return found;
}

/** The head and the fragments of a fragmented file. */
export function split(bytes) {
  const boxes = topBoxes(bytes);
  const first = boxes.find(([type]) => type === "moof")?.[1] ?? bytes.length;
  const fragments = [];
  let begin = first;
  for (const [type, , end] of boxes) {
    if (type !== "mdat") continue;
    fragments.push(bytes.subarray(begin, end));
    begin = end;
  }
  return { head: bytes.subarray(0, first), fragments };
}
