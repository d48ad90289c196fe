// g = grad + weight_decay·w     v = momentum·v + (1 − dampening)·g  (v = g at the first step)
// w = w − lr·(g + momentum·v)  with Nesterov,   w − lr·v  with momentum,   w − lr·g  without
//
// Twin: src/kernels/sgd.rs.
struct Params {
    len: u32, lr: f32, momentum: f32, dampening: f32, weight_decay: f32, nesterov: u32, first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> grad: array<f32>;    // [len]
@group(0) @binding(2) var<storage, read_write> w: array<f32>; // [len]
@group(0) @binding(3) var<storage, read_write> v: array<f32>; // [len]  unused without momentum

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    var g = grad[i] + params.weight_decay * w[i];
    if params.momentum != 0.0 {
        var speed = g;
        if params.first == 0u { speed = params.momentum * v[i] + (1.0 - params.dampening) * g; }
        v[i] = speed;
        g = select(speed, g + params.momentum * speed, params.nesterov == 1u);
    }
    w[i] -= params.lr * g;
}
