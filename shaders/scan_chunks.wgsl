// What each chunk of a first-order recurrence makes of any state before it, h ↦ A·h + B:  A = Π a_i, and B is the state
// that the chunk reaches from 0.
//
// Twin: src/kernels/scan_chunks.rs.
@group(0) @binding(3) var<storage, read_write> a_all: array<f32>;  // [chunks, width]
@group(0) @binding(4) var<storage, read_write> b_all: array<f32>;  // [chunks, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let chunks = (params.steps + params.chunk - 1u) / params.chunk;
    if i >= chunks * params.width { return; }
    let first = i / params.width * params.chunk;
    let column = i % params.width;
    var slope = one();
    var offset = zero();
    for (var step = first; step < min(first + params.chunk, params.steps); step++) {
        let f = factor(step, column);
        slope = times(f, slope);
        offset = plus(times(f, offset), b[row_of(step) + column]);
    }
    a_all[i] = slope;
    b_all[i] = offset;
}
