// dx[i] = ∂loss[i]/∂x[i] · dloss[i]
//
// Twin: src/kernels/loss_backward.rs.
struct Params { len: u32, kind: u32, delta: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [len]
@group(0) @binding(2) var<storage, read> t: array<f32>;         // [len]
@group(0) @binding(3) var<storage, read> dloss: array<f32>;     // [len]
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    let d = x[i] - t[i];
    let sign_d = sign_or_nan(d);
    switch params.kind {
        case 0u: { dx[i] = dloss[i] * 2.0 * d; }
        case 1u: { dx[i] = dloss[i] * sign_d; }
        case 2u: { dx[i] = dloss[i] * select(d, params.delta * sign_d, abs(d) > params.delta); }
        default: { dx[i] = dloss[i] * (sigmoid(x[i]) - t[i]); }
    }
}
