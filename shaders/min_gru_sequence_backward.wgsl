// Gradients of a minimal GRU's pre-activations and initial states, chunk by chunk from the last step back. c is the
// gradient from the later steps:
//
//   dh = dy + c    dv = dh·z·g'(v)    dk = dh·(g(v) − h_before)·z·a    c' = a·dh    z = σ(k)    a = 1 − z
//
// g(v) = v, or with params.log v + ½ for v ≥ 0, else σ(v). Past a sequence's length, dk and dv are 0 and c is
// unchanged. Twin: src/kernels/min_gru_sequence_backward.rs.
@group(0) @binding(3) var<storage, read> h0: array<f32>;           // [directions, batch, hidden]
@group(0) @binding(4) var<storage, read> y: array<f32>;            // [steps, batch, directions, hidden]
@group(0) @binding(5) var<storage, read> dy: array<f32>;           // [steps, batch, directions, hidden]
@group(0) @binding(6) var<storage, read> carry: array<f32>;        // [chunks, directions, batch, hidden]
@group(0) @binding(7) var<storage, read_write> d_kv: array<f32>;   // [directions, 2, steps, batch, hidden]
@group(0) @binding(8) var<storage, read_write> d_h0: array<f32>;   // [directions, batch, hidden]

// The state before time t, for t within the sequence's length.
fn state_before(p: Place, t: u32) -> f32 {
    if is_reverse(p.d) {
        if t + 1u >= min(lengths[p.row], params.steps) { return h0[p.column]; }
        return y[output_at(p, t + 1u)];
    }
    if t == 0u { return h0[p.column]; }
    return y[output_at(p, t - 1u)];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= chunks() * width() { return; }
    let p = place_of(i);
    var c = carry[i];
    for (var step = p.first; step < p.end; step++) {
        let t = time_of(p.d, params.steps - 1u - step);
        var dk = 0.0;
        var dv = 0.0;
        if t < lengths[p.row] {
            let k = kv[kv_at(p, 0u, t)];
            let v = kv[kv_at(p, 1u, t)];
            let z = sigmoid(k);
            let a = sigmoid(-k);
            var candidate = v;
            var slope = 1.0;
            if params.log == 1u && v >= 0.0 && !is_nan(v) {
                candidate = v + 0.5;
            } else if params.log == 1u {
                candidate = sigmoid(v);
                slope = candidate * sigmoid(-v);
            }
            let dh = dy[output_at(p, t)] + c;
            dv = dh * z * slope;
            dk = dh * (candidate - state_before(p, t)) * z * a;
            c = a * dh;
        }
        d_kv[kv_at(p, 0u, t)] = dk;
        d_kv[kv_at(p, 1u, t)] = dv;
    }
    if p.end == params.steps { d_h0[p.column] = c; }
}
