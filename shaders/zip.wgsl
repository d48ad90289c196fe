// y[i] = a[i·a_strides] ∘ b[i·b_strides]  for every index i of dims; a stride of 0 broadcasts
//
// Twin: src/kernels/zip.rs, which names the operations.
struct Params { dims: vec4<u32>, a_strides: vec4<u32>, b_strides: vec4<u32>, op: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // dims

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let d = params.dims;
    let i = linear(id);
    if i >= d.x * d.y * d.z * d.w { return; }
    let index = vec4(i / (d.y * d.z * d.w), i / (d.z * d.w) % d.y, i / d.w % d.z, i % d.w);
    let u = a[dot(index, params.a_strides)];
    let v = b[dot(index, params.b_strides)];
    let ordered = !(is_nan(u) || is_nan(v));
    var out = 0.0;
    switch params.op {
        case 0u: { out = select(0.0, 1.0, ordered && u == v); }
        case 1u: { out = select(0.0, 1.0, ordered && u < v); }
        case 2u: { out = select(0.0, 1.0, ordered && u <= v); }
        case 3u: { out = select(0.0, 1.0, is_set(u) && is_set(v)); }
        case 4u: { out = select(0.0, 1.0, is_set(u) || is_set(v)); }
        case 5u: { out = select(0.0, 1.0, is_set(u) != is_set(v)); }
        case 6u: { out = select(v, u, u < v); }
        case 7u: { out = select(v, u, u > v); }
        case 8u: {
            out = remainder(u, v, quotient(u, v));
            if out != 0.0 && (out < 0.0) != (v < 0.0) { out += v; }
        }
        case 9u: { out = remainder(u, v, quotient(u, v)); }
        case 10u: { out = quotient(u, v); }
        default: { out = power(u, v); }
    }
    if params.op > 5u && params.op < 11u && !ordered { out = select(v, u, is_nan(u)); }
    y[i] = out;
}

fn is_set(v: f32) -> bool { return (bitcast<u32>(v) & 0x7fffffffu) != 0u; }

// u − q·v. Without a product if q is 0, because v may be infinite.
fn remainder(u: f32, v: f32, q: f32) -> f32 { return select(u - q * v, u, q == 0.0); }

// u / v without its fraction. Corrected by the remainder, because a device may round the quotient of two whole numbers
// to just below a whole number.
fn quotient(u: f32, v: f32) -> f32 {
    let q = trunc(u / v);
    let step = select(-1.0, 1.0, (u < 0.0) == (v < 0.0));
    let rest = remainder(u, v, q);
    if abs(rest) >= abs(v) { return q + step; }
    return select(q, q - step, rest != 0.0 && (rest < 0.0) != (u < 0.0));
}

fn power(base: f32, exponent: f32) -> f32 {
    if (bitcast<u32>(exponent) & 0x7fffffffu) == 0u || bitcast<u32>(base) == 0x3f800000u { return 1.0; }
    if is_nan(base) { return base; }
    if is_nan(exponent) { return exponent; }
    // Beyond 2^24, f32 has no odd integers.
    let is_odd = abs(exponent) < 16777216.0 && fract(0.5 * exponent) == 0.5;
    if base == 0.0 { return select(0.0, bitcast<f32>(0x7f800000u + u32(params.op - 11u)), exponent < 0.0); }
    let size = exp2(exponent * log2(abs(base)));
    if base > 0.0 { return size; }
    if floor(exponent) != exponent { return bitcast<f32>(0x7fc00000u + (params.op - 11u)); }
    return select(size, -size, is_odd);
}
