// dx[i] = f'(x[i])·dy[i], with y = f(x) and f selected by params.op
//
// Twin: src/kernels/unary_backward.rs.
struct Params { len: u32, op: u32, alpha: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [len]
@group(0) @binding(2) var<storage, read> y: array<f32>;         // [len]
@group(0) @binding(3) var<storage, read> dy: array<f32>;        // [len]
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;  // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    let v = x[i];
    let u = y[i];
    let g = dy[i];
    let nan = bitcast<f32>(0x7fc00000u | (params.op & 0u));
    switch params.op {
        case 0u: { dx[i] = params.alpha * g; }
        case 1u: { dx[i] = g; }
        case 2u: { dx[i] = select(g, 0.0, v <= 0.0 && !is_nan(v)); }
        case 3u: { dx[i] = g * u * (1.0 - u); }
        case 4u: { dx[i] = g * (1.0 - u * u); }
        case 5u: { dx[i] = g * 2.0 * v; }
        case 6u: { dx[i] = g * 0.5 / u; }
        case 7u: { dx[i] = g * sign_or_nan(v); }
        case 8u: { dx[i] = select(g, 0.0, v > params.alpha && !is_nan(v)); }
        case 9u: { dx[i] = g * u; }
        case 10u: { dx[i] = g / v; }
        case 11u: { dx[i] = g * select(select(params.alpha * exp(-abs(v)), 1.0, v > 0.0), v, is_nan(v)); }
        case 12u: { dx[i] = g * sigmoid(v); }
        case 13u: { dx[i] = g / ((1.0 + abs(v)) * (1.0 + abs(v))); }
        default: { dx[i] = g * select(stirling_slope(v), nan, v <= 0.0 || is_nan(v)); }
    }
}
