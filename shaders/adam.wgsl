// w = w·(1 − lr·weight_decay) when decoupled, else g = grad + weight_decay·w
// m = β1·m + (1 − β1)·g    v = β2·v + (1 − β2)·g²    w = w − step_size·m / (√v / root2 + ε)
//
// The host computes step_size = lr / (1 − β1^t) and root2 = √(1 − β2^t). When guard is set, a non-finite total in
// status[0] stops all updates, and an element with a non-finite update keeps its values and sets the flag
// status[guard].
// Twin: src/kernels/adam.rs.
struct Params {
    len: u32, lr: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32, decoupled: u32, step_size: f32, root2: f32,
    guard: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;    // [len]
@group(0) @binding(2) var<storage, read_write> w: array<f32>; // [len]
@group(0) @binding(3) var<storage, read_write> m: array<f32>; // [len]
@group(0) @binding(4) var<storage, read_write> v: array<f32>; // [len]
@group(0) @binding(5) var<storage, read_write> status: array<atomic<u32>>; // [guard + 1], unused without a guard

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    let guarded = params.guard != 0u;
    if guarded && !is_finite(bitcast<f32>(atomicLoad(&status[0]))) { return; }
    var g = grad[i];
    var weight = w[i];
    if params.decoupled == 1u {
        weight *= 1.0 - params.lr * params.weight_decay;
    } else {
        g += params.weight_decay * weight;
    }
    let mean = m[i] + (1.0 - params.beta1) * (g - m[i]);
    let square = params.beta2 * v[i] + (1.0 - params.beta2) * g * g;
    let next = weight - params.step_size * mean / (sqrt(square) / params.root2 + params.eps);
    if guarded && !(is_finite(next) && is_finite(mean) && is_finite(square)) {
        atomicStore(&status[params.guard], 1u);
        return;
    }
    m[i] = mean;
    v[i] = square;
    w[i] = next;
}
