// y[b, q, :] = softmax over the elements of x[b, q, :] that keep[b, :] selects, 0 elsewhere; all 0 if it selects none
//
// The row's maximum is subtracted first, so exp never overflows. Twin: src/kernels/masked_softmax.rs.
struct Params { batch: u32, rows: u32, width: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;        // [batch, rows, width]
@group(0) @binding(2) var<storage, read> keep: array<u32>;     // [batch, width]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [batch, rows, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear(id);
    if row >= params.batch * params.rows { return; }
    let first = row * params.width;
    let mask = row / params.rows * params.width;
    var top = 0.0;
    var any = false;
    for (var i = 0u; i < params.width; i++) {
        if keep[mask + i] == 0u { continue; }
        let v = x[first + i];
        top = select(top, v, v > top || !any);
        any = true;
    }
    var total = 0.0;
    for (var i = 0u; i < params.width; i++) {
        if keep[mask + i] != 0u { total += exp_or_nan(x[first + i] - top); }
    }
    for (var i = 0u; i < params.width; i++) {
        if keep[mask + i] != 0u {
            y[first + i] = exp_or_nan(x[first + i] - top) / total;
        } else {
            y[first + i] = 0.0;
        }
    }
}
