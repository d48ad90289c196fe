// softmax:      dx = y·(dy − Σ y·dy),  0 where y is 0, even if dy is not finite there
// log-softmax:  dx = dy − e^y·Σ dy
//
// Twin: src/kernels/softmax_backward.rs.
struct Params { rows: u32, width: u32, log: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;         // [rows, width]
@group(0) @binding(2) var<storage, read> dy: array<f32>;        // [rows, width]
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // [rows, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear(id);
    if row >= params.rows { return; }
    let first = row * params.width;
    var total = 0.0;
    for (var i = first; i < first + params.width; i++) {
        if params.log == 1u { total += dy[i]; } else { total += masked(dy[i], y[i]); }
    }
    for (var i = first; i < first + params.width; i++) {
        if params.log == 1u { dx[i] = dy[i] - exp_or_nan(y[i]) * total; } else { dx[i] = masked(dy[i] - total, y[i]); }
    }
}
