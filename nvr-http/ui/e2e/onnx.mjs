// A tiny network in the ONNX format, as the recorder's own tests make one: it is as sure of a place as that is bright.

/** Fields of a message in the format of Protocol Buffers: whole numbers, texts, bytes, messages. */
function message(...fields) {
  const out = [];
  const varint = (n) => {
    for (let rest = BigInt(n); ; rest >>= 7n) {
      if (rest < 128n) return out.push(Number(rest));
      out.push(Number(rest & 127n) | 128);
    }
  };
  for (const [number, value] of fields) {
    if (typeof value === "number") {
      varint(number << 3);
      varint(value);
    } else {
      const bytes = typeof value === "string" ? Buffer.from(value) : value;
      varint((number << 3) | 2);
      varint(bytes.length);
      for (const byte of bytes) out.push(byte);
    }
  }
  return Buffer.from(out);
}

const all = (number, values) => values.map((value) => [number, value]);
const node = (operation, inputs, output, ...attributes) => message(...all(1, inputs), [2, output], [3, output], [4, operation], ...all(5, attributes));
const whole = (name, value) => message([1, name], [3, value], [20, 2]);
const wholes = (name, values) => message([1, name], ...all(8, values), [20, 7]);
const floats = (name, dims, values) => message(...all(1, dims), [2, 1], [8, name], [9, Buffer.from(new Float32Array(values).buffer)]);
const shape = (name, dims) => message([1, name], [2, message([1, message([1, 1], [2, message(...dims.map((d) => [1, message([1, d])]))])])]);

/** In the shape of a YOLOv8 of one class: the mean of each cell of pixels is how sure it is of a box around that cell. */
export function brightModel(label, side = 64, cell = 2, [width, height] = [6, 8]) {
  const cells = side / cell;
  const boxes = cells * cells;
  const middle = (n) => n * cell + cell / 2;
  const places = [
    ...Array.from({ length: boxes }, (_, n) => middle(n % cells)),
    ...Array.from({ length: boxes }, (_, n) => middle(Math.floor(n / cells))),
    ...Array(boxes).fill(width),
    ...Array(boxes).fill(height),
  ];
  const weights = 3 * cell * cell;
  const flat = message([1, 3], [2, 7], [8, "flat"], ...all(7, [1, 1, boxes]));
  const graph = message(
    [1, node("Conv", ["images", "weights"], "means", wholes("kernel_shape", [cell, cell]), wholes("strides", [cell, cell]))],
    [1, node("Reshape", ["means", "flat"], "scores")],
    [1, node("Concat", ["places", "scores"], "output0", whole("axis", 1))],
    [2, "bright"],
    [5, floats("weights", [1, 3, cell, cell], Array(weights).fill(1 / weights))],
    [5, flat],
    [5, floats("places", [1, 4, boxes], places)],
    [11, shape("images", [1, 3, side, side])],
    [12, shape("output0", [1, 5, boxes])],
  );
  return message([1, 8], [7, graph], [8, message([2, 13])], [14, message([1, "names"], [2, `{0: '${label}'}`])]);
}
