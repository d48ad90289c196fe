// loss[r] = (1 − ε)·(L − x[r, t]) + ε/C·Σ_c (L − x[r, c]),   L = log Σ_c e^x[r, c],   t = target[r]
// counted[r] = 1, or 0 with a loss of 0 where the target is params.ignored
//
// A target ≥ classes gives NaN. Twin: src/kernels/cross_entropy.rs.
struct Params { rows: u32, classes: u32, ignored: u32, smoothing: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;              // [rows, classes]
@group(0) @binding(2) var<storage, read> target_class: array<u32>;   // [rows]
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;     // [rows]
@group(0) @binding(4) var<storage, read_write> counted: array<f32>;  // [rows]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear(id);
    if row >= params.rows { return; }
    let t = target_class[row];
    if t == params.ignored {
        loss[row] = 0.0;
        counted[row] = 0.0;
        return;
    }
    let first = row * params.classes;
    var top = x[first];
    for (var c = 1u; c < params.classes; c++) {
        let v = x[first + c];
        top = select(top, v, v > top);
    }
    var total = 0.0;
    var mean = 0.0;
    for (var c = 0u; c < params.classes; c++) {
        let v = x[first + c] - top;
        total += exp_or_nan(v);
        mean += v / f32(params.classes);
    }
    var hit = bitcast<f32>(0x7fc00000u | (t & 0u));
    if t < params.classes { hit = x[first + t] - top; }
    let level = log_or_nan(total);
    // Without smoothing, a logit of −∞ marks an impossible class and must not make the loss infinite.
    loss[row] = masked(level - hit, 1.0 - params.smoothing) + masked(level - mean, params.smoothing);
    counted[row] = 1.0;
}
