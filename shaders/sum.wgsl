// out[o, s, i] = scale · Σ_{a in chunk s} f(x[o, a, i])  (+ out, if accumulate),  f(v) = v or v²
//
// One invocation sums one chunk in order, so results are deterministic; the host runs a second pass over the chunks.
// Twin: src/kernels/sum.rs.
struct Params {
    outer: u32, axis: u32, inner: u32, chunk: u32, scale: f32, square: u32, accumulate: u32, offset: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;          // [outer, axis, inner]
@group(0) @binding(2) var<storage, read_write> out: array<f32>;  // [outer, ⌈axis / chunk⌉, inner] from offset on

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    // Rounds up without overflowing u32, even for the largest chunk.
    let chunks = (params.axis - 1u) / params.chunk + 1u;
    let i = linear(id);
    if i >= params.outer * chunks * params.inner { return; }
    let o = i / (chunks * params.inner);
    let first = i / params.inner % chunks * params.chunk;
    let last = first + min(params.chunk, params.axis - first);
    var total = 0.0;
    for (var a = first; a < last; a++) {
        let v = x[(o * params.axis + a) * params.inner + i % params.inner];
        total += select(v, v * v, params.square == 1u);
    }
    total *= params.scale;
    if params.accumulate == 1u { total += out[params.offset + i]; }
    out[params.offset + i] = total;
}
