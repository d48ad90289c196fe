// Composes the steps of each chunk of a minimal GRU into one affine map h ↦ A·h + B of the state before it:  A = Π a,
// and B is the state that the chunk reaches from 0. With params.log, the logarithms of A and B.
//
// Twin: src/kernels/min_gru_chunks.rs.
@group(0) @binding(3) var<storage, read_write> a_all: array<f32>;  // [chunks, directions, batch, hidden]
@group(0) @binding(4) var<storage, read_write> b_all: array<f32>;  // [chunks, directions, batch, hidden]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= chunks() * width() { return; }
    let p = place_of(i);
    var slope = one();
    var offset = zero();
    for (var step = p.first; step < p.end; step++) {
        let t = time_of(p.d, step);
        if t < lengths[p.row] {
            let k = kv[kv_at(p, 0u, t)];
            let f = factor(k);
            slope = times(f, slope);
            offset = plus(times(f, offset), summand(k, kv[kv_at(p, 1u, t)]));
        }
    }
    a_all[i] = slope;
    b_all[i] = offset;
}
