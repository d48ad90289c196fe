// dx[o, a, i] = dy[o, i] where a = index[o, i], else 0
//
// Twin: src/kernels/extreme_backward.rs.
struct Params { outer: u32, axis: u32, inner: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;         // [outer, inner]
@group(0) @binding(2) var<storage, read> index: array<u32>;      // [outer, inner]
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;   // [outer, axis, inner]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.outer * params.axis * params.inner { return; }
    let a = i / params.inner % params.axis;
    let source = i / (params.axis * params.inner) * params.inner + i % params.inner;
    dx[i] = select(0.0, dy[source], index[source] == a);
}
