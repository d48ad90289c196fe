// y[r, :] = softmax(x[r, :]), or its logarithm; the row's maximum is subtracted first, so exp never overflows
//
// Twin: src/kernels/softmax.rs.
struct Params { rows: u32, width: u32, log: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [rows, width]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [rows, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear(id);
    if row >= params.rows { return; }
    let first = row * params.width;
    var top = x[first];
    for (var i = 1u; i < params.width; i++) {
        let v = x[first + i];
        top = select(top, v, v > top);
    }
    var total = 0.0;
    for (var i = 0u; i < params.width; i++) {
        total += exp_or_nan(x[first + i] - top);
    }
    for (var i = 0u; i < params.width; i++) {
        let v = x[first + i] - top;
        if params.log == 1u {
            y[first + i] = v - log_or_nan(total);
        } else {
            y[first + i] = exp_or_nan(v) / total;
        }
    }
}
