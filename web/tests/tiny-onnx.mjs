// Writes small ONNX models: fixtures for the panel that denoises.

function varint(n) {
  const bytes = [];
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) + 128);
  return [...bytes, n];
}

/** A field of a protobuf message: a whole number, or a text or message as bytes. */
function field(number, value) {
  if (typeof value === 'number') return [...varint(8 * number), ...varint(value)];
  const bytes = [...Buffer.from(value)];
  return [...varint(8 * number + 2), ...varint(bytes.length), ...bytes];
}

const FLOAT = 1;
const dimensions = (dims) => dims.flatMap((extent) => field(1, field(1, extent)));
/** `ValueInfoProto` of a float tensor. */
const value = (name, dims) => [...field(1, name), ...field(2, field(1, [...field(1, FLOAT), ...field(2, dimensions(dims))]))];
/** `TensorProto` of one float. */
const constant = (name, number) => [...field(1, 1), ...field(2, FLOAT), ...field(8, name), ...field(9, new Uint8Array(Float32Array.of(number).buffer))];
/** `NodeProto`. */
const node = ([op, inputs, output]) => [...inputs.flatMap((name) => field(1, name)), ...field(2, output), ...field(4, op)];

/**
 * Returns the bytes of an ONNX model. `inputs` and `outputs` are extents by name, `constants` are floats by name, and
 * `nodes` are `[operator, inputs, output]`.
 */
export function onnx({ inputs, outputs, constants, nodes }) {
  const graph = [
    ...nodes.flatMap((one) => field(1, node(one))),
    ...field(2, 'tiny'),
    ...Object.entries(constants).flatMap(([name, number]) => field(5, constant(name, number))),
    ...Object.entries(inputs).flatMap(([name, dims]) => field(11, value(name, dims))),
    ...Object.entries(outputs).flatMap(([name, dims]) => field(12, value(name, dims))),
  ];
  // The version of the format, the graph, and the version of the operators.
  return Buffer.from([...field(1, 8), ...field(7, graph), ...field(8, field(2, 17))]);
}

/** `y = gain·x`. */
export const scaled = (dims, gain) =>
  onnx({ inputs: { x: dims }, outputs: { y: dims }, constants: { gain }, nodes: [['Mul', ['x', 'gain'], 'y']] });

/** `y = gain`, whatever `x` is. */
export const masked = (dims, gain) =>
  onnx({ inputs: { x: dims }, outputs: { y: dims }, constants: { gain, zero: 0 }, nodes: [['Mul', ['x', 'zero'], 'none'], ['Add', ['none', 'gain'], 'y']] });

/** `sₜ = sₜ₋₁ + rise`, `y = sₜ·x`: a gain that starts at `rise`. */
export const rising = (dims, rise) =>
  onnx({
    inputs: { x: dims, state: [1] },
    outputs: { y: dims, state_out: [1] },
    constants: { rise },
    nodes: [['Add', ['state', 'rise'], 'state_out'], ['Mul', ['x', 'state_out'], 'y']],
  });
