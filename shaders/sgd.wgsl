// g = grad + weight_decay·w     v = momentum·v + (1 − dampening)·g  (v = g at the first step)
// w = w − lr·(g + momentum·v)  with Nesterov,   w − lr·v  with momentum,   w − lr·g  without
//
// guard and status: as in adam.wgsl. Twin: src/kernels/sgd.rs.
struct Params {
    len: u32, lr: f32, momentum: f32, dampening: f32, weight_decay: f32, nesterov: u32, first: u32,
    guard: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;    // [len]
@group(0) @binding(2) var<storage, read_write> w: array<f32>; // [len]
@group(0) @binding(3) var<storage, read_write> v: array<f32>; // [len]  unused without momentum
@group(0) @binding(4) var<storage, read_write> status: array<atomic<u32>>; // [guard + 1], unused without a guard

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    let guarded = params.guard != 0u;
    if guarded && !is_finite(bitcast<f32>(atomicLoad(&status[0]))) { return; }
    var g = grad[i] + params.weight_decay * w[i];
    var speed = 0.0;
    if params.momentum != 0.0 {
        speed = g;
        if params.first == 0u { speed = params.momentum * v[i] + (1.0 - params.dampening) * g; }
        g = select(speed, g + params.momentum * speed, params.nesterov == 1u);
    }
    let next = w[i] - params.lr * g;
    if guarded && !(is_finite(next) && is_finite(speed)) {
        atomicStore(&status[params.guard], 1u);
        return;
    }
    if params.momentum != 0.0 { v[i] = speed; }
    w[i] = next;
}
