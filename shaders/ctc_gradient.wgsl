// Gradient of the CTC loss: each class's share of the path probability at each step,
//
//   dlog_probs[t, b, c] = −dloss[b]·Σ_{s: l_s = c} occupancy[t, b, s] / Σ_s occupancy[t, b, s]
//
// 0 past the sequence's steps. If no path fits: NaN, or 0 with zero_infinity. Twin: src/kernels/ctc_gradient.rs.
@group(0) @binding(3) var<storage, read> occupancy: array<f32>;         // [steps, batch, 2·labels + 1]
@group(0) @binding(4) var<storage, read> feasible: array<f32>;          // [batch]
@group(0) @binding(5) var<storage, read> dloss: array<f32>;             // [batch]
@group(0) @binding(6) var<storage, read_write> dlog_probs: array<f32>;  // [steps, batch, classes]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.steps * params.batch * params.classes { return; }
    let symbol = i % params.classes;
    let b = i / params.classes % params.batch;
    let t = i / params.classes / params.batch;
    if t >= steps_of(b) || (feasible[b] == 0.0 && params.zero_infinity == 1u) {
        dlog_probs[i] = 0.0;
        return;
    }
    let row = row_at(t, b);
    var total = 0.0;
    var hit = 0.0;
    for (var s = 0u; s < positions_of(b); s++) {
        let share = occupancy[row + s];
        total += share;
        if class_at(b, s) == symbol { hit += share; }
    }
    let dx = -dloss[b] * (hit / total);
    dlog_probs[i] = select(dx, bitcast<f32>(0x7fc00000u | (b & 0u)), feasible[b] == 0.0);
}
