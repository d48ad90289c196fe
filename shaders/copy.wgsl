// dst[dst_offset + i·dst_strides] = src[src_offset + i·src_strides]  for every index i of dims
//
// Implements transposes, slices, concatenations and broadcasts. Twin: src/kernels/copy.rs.
struct Params { dims: vec4<u32>, src_strides: vec4<u32>, dst_strides: vec4<u32>, src_offset: u32, dst_offset: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> src: array<f32>;
@group(0) @binding(2) var<storage, read_write> dst: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let d = params.dims;
    let i = linear(id);
    if i >= d.x * d.y * d.z * d.w { return; }
    let index = vec4(i / (d.y * d.z * d.w), i / (d.z * d.w) % d.y, i / d.w % d.z, i % d.w);
    let source = params.src_offset + dot(index, params.src_strides);
    let dest = params.dst_offset + dot(index, params.dst_strides);
    dst[dest] = src[source];
}
