// States of a minimal GRU from its pre-activations k and v, chunk by chunk:
//
//   h' = a·h + b    a = 1 − z    b = z·v    z = σ(k)
//
// With params.log: their logarithms, with b = z·g(v), g(v) = v + ½ for v ≥ 0, else σ(v). Past a sequence's length, the
// state is unchanged and y is 0. Twin: src/kernels/min_gru_sequence.rs.
@group(0) @binding(3) var<storage, read> carry: array<f32>;      // [chunks, directions, batch, hidden]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;    // [steps, batch, directions, hidden]
@group(0) @binding(5) var<storage, read_write> h_n: array<f32>;  // [directions, batch, hidden]

fn shown(state: f32) -> f32 {
    if params.log == 1u { return exp_stable(state); }
    return state;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= chunks() * width() { return; }
    let p = place_of(i);
    var state = carry[i];
    if p.first == 0u { state = first_state(state, i); }
    for (var step = p.first; step < p.end; step++) {
        let t = time_of(p.d, step);
        var out = 0.0;
        if t < lengths[p.row] {
            let k = kv[kv_at(p, 0u, t)];
            state = plus(times(factor(k), state), summand(k, kv[kv_at(p, 1u, t)]));
            out = shown(state);
        }
        y[output_at(p, t)] = out;
    }
    if p.end == params.steps { h_n[p.column] = shown(state); }
}
