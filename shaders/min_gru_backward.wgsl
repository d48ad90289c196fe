// The gradients of a minimal GRU's pre-activations, from those of its states:
//
//   dv = dh·z·c'(v)    dk = dh·(c(v) − h_before)·z·(1 − z)        z = σ(k)
//
// c(v) = v, or with params.log g(v) = v + ½ for v ≥ 0, else σ(v). 0 past a sequence's length.
// Twin: src/kernels/min_gru_backward.rs.
struct Params { steps: u32, batch: u32, hidden: u32, reverse: u32, log: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k: array<f32>;         // [steps, batch, hidden]
@group(0) @binding(2) var<storage, read> v: array<f32>;         // [steps, batch, hidden]
@group(0) @binding(3) var<storage, read> lengths: array<u32>;   // [batch]
@group(0) @binding(4) var<storage, read> h0: array<f32>;        // [batch, hidden]
@group(0) @binding(5) var<storage, read> h: array<f32>;         // [steps, batch, hidden]
@group(0) @binding(6) var<storage, read> dh: array<f32>;        // [steps, batch, hidden]
@group(0) @binding(7) var<storage, read_write> dk: array<f32>;  // [steps, batch, hidden]
@group(0) @binding(8) var<storage, read_write> dv: array<f32>;  // [steps, batch, hidden]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let row = i / params.hidden;
    if row >= params.steps * params.batch { return; }
    let t = row / params.batch;
    if t >= lengths[row % params.batch] {
        dk[i] = 0.0;
        dv[i] = 0.0;
        return;
    }
    let slot = params.batch * params.hidden;
    var before = 0.0;
    if t == select(0u, params.steps - 1u, params.reverse == 1u) {
        before = h0[i % slot];
    } else {
        before = h[select(i - slot, i + slot, params.reverse == 1u)];
    }
    let z = sigmoid(k[i]);
    var candidate = v[i];
    var slope = 1.0;
    if params.log == 1u && v[i] >= 0.0 {
        candidate = v[i] + 0.5;
    } else if params.log == 1u {
        candidate = sigmoid(v[i]);
        slope = candidate * sigmoid(-v[i]);
    }
    dv[i] = dh[i] * z * slope;
    dk[i] = dh[i] * (candidate - before) * z * sigmoid(-k[i]);
}
