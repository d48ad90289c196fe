// x̂ = (x − μ)·s    g = dy·weight    dx = s·(g − Σ g / width − x̂·Σ g·x̂ / width)    dw = dy·x̂
//
// Row r uses the weights of group r % groups. Twin: src/kernels/layer_norm_backward.rs.
struct Params { rows: u32, width: u32, groups: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, width]
@group(0) @binding(2) var<storage, read> weight: array<f32>;    // [groups, width]
@group(0) @binding(3) var<storage, read> stats: array<f32>;     // [rows, 2]  μ, s
@group(0) @binding(4) var<storage, read> dy: array<f32>;        // [rows, width]
@group(0) @binding(5) var<storage, read_write> dx: array<f32>;  // [rows, width]
@group(0) @binding(6) var<storage, read_write> dw: array<f32>;  // [rows, width]  per row, not yet summed

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear(id);
    if row >= params.rows { return; }
    let first = row * params.width;
    let group = row % params.groups * params.width;
    let mean = stats[2u * row];
    let scale = stats[2u * row + 1u];
    var plain = 0.0;
    var along = 0.0;
    for (var i = 0u; i < params.width; i++) {
        let unit = (x[first + i] - mean) * scale;
        let g = dy[first + i] * weight[group + i];
        plain += g;
        along += g * unit;
        dw[first + i] = dy[first + i] * unit;
    }
    plain /= f32(params.width);
    along /= f32(params.width);
    for (var i = 0u; i < params.width; i++) {
        let unit = (x[first + i] - mean) * scale;
        dx[first + i] = scale * (dy[first + i] * weight[group + i] - plain - unit * along);
    }
}
