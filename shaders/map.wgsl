// y[i] = f(x[i]), with f selected by params.op
//
// Twin: src/kernels/map.rs, which names the operations.
struct Params { len: u32, op: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [len]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    let v = x[i];
    let size = bitcast<u32>(v) & 0x7fffffffu;
    var out = v;
    switch params.op {
        case 0u: { out = floor(v); }
        case 1u: { out = ceil(v); }
        case 2u: { out = round(v); }
        case 3u: { out = trunc(v); }
        case 4u: { out = sign(v); }
        case 5u: { out = erf(v); }
        case 6u: { out = turned_sine(v, 0); }
        case 7u: { out = turned_sine(v, 1); }
        case 8u: { out = to_half(v); }
        case 9u: { out = to_brain(v); }
        case 14u: { out = arc_tangent(v); }
        default: {}
    }
    switch params.op {
        case 10u: { out = select(0.0, 1.0, size == 0u); }
        case 11u: { out = select(1.0, 0.0, size == 0u); }
        case 12u: { out = select(0.0, 1.0, size > 0x7f800000u); }
        case 13u: { out = select(0.0, 1.0, size == 0x7f800000u); }
        default: { out = select(out, v, size > 0x7f800000u); }
    }
    y[i] = out;
}
