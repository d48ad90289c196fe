// dx[r, c] = dloss[r]·(softmax(x[r, :])[c] − (1 − ε)·[c = t] − ε/C),   0 where the target is params.ignored
//
// A target ≥ classes gives NaN. Twin: src/kernels/cross_entropy_backward.rs.
struct Params { rows: u32, classes: u32, ignored: u32, smoothing: f32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [rows, classes]
@group(0) @binding(2) var<storage, read> target_class: array<u32>;  // [rows]
@group(0) @binding(3) var<storage, read> dloss: array<f32>;         // [rows]
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;      // [rows, classes]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = linear(id);
    if row >= params.rows { return; }
    let t = target_class[row];
    let first = row * params.classes;
    var top = x[first];
    for (var c = 1u; c < params.classes; c++) {
        let v = x[first + c];
        top = select(top, v, v > top);
    }
    var total = 0.0;
    for (var c = 0u; c < params.classes; c++) {
        total += exp_or_nan(x[first + c] - top);
    }
    var scale = dloss[row];
    if t >= params.classes { scale = bitcast<f32>(0x7fc00000u | (t & 0u)); }
    for (var c = 0u; c < params.classes; c++) {
        let hit = select(0.0, 1.0 - params.smoothing, c == t) + params.smoothing / f32(params.classes);
        let d = scale * (exp_or_nan(x[first + c] - top) / total - hit);
        dx[first + c] = select(d, 0.0, t == params.ignored);
    }
}
