// y[i] = x[i]·m(i),   m(i) = scale where Threefry(key, (i, 0)) ≥ threshold, else 0
//
// The backward pass runs the same kernel on dy. Twin: src/kernels/dropout.rs.
struct Params { len: u32, key_low: u32, key_high: u32, threshold: u32, scale: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [len]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [len]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.len { return; }
    let word = threefry(vec2(params.key_low, params.key_high), vec2(i, 0u)).x;
    y[i] = select(0.0, x[i] * params.scale, word >= params.threshold);
}
