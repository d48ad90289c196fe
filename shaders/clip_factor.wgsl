// factor = min(1, max_norm / (norm + 1e-6)), or 1 if norm is not finite. Twin: src/kernels/clip_factor.rs.
struct Params { max_norm: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> norm: array<f32>;          // [1]
@group(0) @binding(2) var<storage, read_write> factor: array<f32>;  // [1]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if linear(id) > 0u { return; }
    factor[0] = select(1.0, min(1.0, params.max_norm / (norm[0] + 1e-6)), is_finite(norm[0]));
}
