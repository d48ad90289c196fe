// y[i] = f(x[i]), with f selected by params.op; NaN where x is NaN
//
// Twin: src/kernels/unary.rs, which names the operations.
struct Params { len: u32, op: u32, alpha: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [len]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    let v = x[i];
    if is_nan(v) {
        y[i] = v;
        return;
    }
    // Of negative numbers, the functions below are undefined in WGSL: SwiftShader's log returns numbers.
    let nan = bitcast<f32>(0x7fc00000u | (params.op & 0u));
    switch params.op {
        case 0u: { y[i] = params.alpha * v; }
        case 1u: { y[i] = v + params.alpha; }
        case 2u: { y[i] = select(v, 0.0, v < 0.0); }
        case 3u: { y[i] = sigmoid(v); }
        case 4u: { y[i] = tanh_stable(v); }
        case 5u: { y[i] = v * v; }
        case 6u: { y[i] = select(sqrt(v), nan, v < 0.0); }
        case 7u: { y[i] = abs(v); }
        case 8u: { y[i] = select(v, params.alpha, v > params.alpha); }
        case 9u: { y[i] = exp_stable(v); }
        case 10u: { y[i] = select(log(v), nan, v < 0.0); }
        case 11u: { y[i] = elu(v, params.alpha); }
        case 12u: { y[i] = softplus(v); }
        case 13u: { y[i] = softsign(v); }
        default: { y[i] = select(stirling(v), nan, v <= 0.0); }
    }
}
