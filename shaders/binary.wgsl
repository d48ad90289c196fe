// y[i] = a[i·a_strides] ∘ b[i·b_strides]  for every index i of dims; a stride of 0 broadcasts
//
// Twin: src/kernels/binary.rs, which names the operations.
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
    switch params.op {
        case 0u: { y[i] = u + v; }
        case 1u: { y[i] = u - v; }
        case 2u: { y[i] = u * v; }
        case 3u: { y[i] = u / v; }
        default: { y[i] = masked(u, v); }
    }
}
