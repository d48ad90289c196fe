// loss[i] = f(x[i] − t[i]): squared, absolute or Huber error; or binary cross-entropy of the logit x[i]
//
// Twin: src/kernels/loss.rs, which names the kinds.
struct Params { len: u32, kind: u32, delta: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;           // [len]
@group(0) @binding(2) var<storage, read> t: array<f32>;           // [len]
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;  // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    let d = x[i] - t[i];
    let far = params.delta * (abs(d) - 0.5 * params.delta);
    switch params.kind {
        case 0u: { loss[i] = d * d; }
        case 1u: { loss[i] = abs(d); }
        case 2u: { loss[i] = select(0.5 * d * d, far, abs(d) > params.delta); }
        default: {
            // With a target of exactly 0 or 1, only one term contributes, even if the logit is infinite.
            let side = select(t[i], 1.0 - t[i], x[i] > 0.0);
            loss[i] = masked(abs(x[i]), side) + softplus(-abs(x[i]));
        }
    }
}
