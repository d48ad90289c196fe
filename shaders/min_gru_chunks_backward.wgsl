// Composes the backward steps of each chunk of a minimal GRU, last step first, into one affine map c ↦ A·c + B of the
// gradient from the later steps:
//
//   c' = a·(c + dy)    a = 1 − σ(k)
//
// c is unchanged past a sequence's length. Twin: src/kernels/min_gru_chunks_backward.rs.
@group(0) @binding(3) var<storage, read> dy: array<f32>;           // [steps, batch, directions, hidden]
@group(0) @binding(4) var<storage, read_write> a_all: array<f32>;  // [chunks, directions, batch, hidden]
@group(0) @binding(5) var<storage, read_write> b_all: array<f32>;  // [chunks, directions, batch, hidden]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= chunks() * width() { return; }
    let p = place_of(i);
    var slope = 1.0;
    var offset = 0.0;
    for (var step = p.first; step < p.end; step++) {
        let t = time_of(p.d, params.steps - 1u - step);
        if t < lengths[p.row] {
            let a = sigmoid(-kv[kv_at(p, 0u, t)]);
            slope = a * slope;
            offset = a * (offset + dy[output_at(p, t)]);
        }
    }
    a_all[i] = slope;
    b_all[i] = offset;
}
