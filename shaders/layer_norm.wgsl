// y[r, :] = (x[r, :] − μ)·s·weight + bias,  μ the row's mean,  s = 1 / √(Σ (x − μ)² / width + ε)
//
// Row r uses the weights of group r % groups. Twin: src/kernels/layer_norm.rs.
struct Params { rows: u32, width: u32, groups: u32, eps: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [rows, width]
@group(0) @binding(2) var<storage, read> weight: array<f32>;       // [groups, width]
@group(0) @binding(3) var<storage, read> bias: array<f32>;         // [groups, width]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;      // [rows, width]
@group(0) @binding(5) var<storage, read_write> stats: array<f32>;  // [rows, 2]  μ, s

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear(id);
    if row >= params.rows { return; }
    let first = row * params.width;
    let group = row % params.groups * params.width;
    var total = 0.0;
    for (var i = 0u; i < params.width; i++) {
        total += x[first + i];
    }
    let mean = total / f32(params.width);
    var squares = 0.0;
    for (var i = 0u; i < params.width; i++) {
        let v = x[first + i] - mean;
        squares += v * v;
    }
    let scale = 1.0 / sqrt(squares / f32(params.width) + params.eps);
    for (var i = 0u; i < params.width; i++) {
        y[first + i] = (x[first + i] - mean) * scale * weight[group + i] + bias[group + i];
    }
    stats[2u * row] = mean;
    stats[2u * row + 1u] = scale;
}
