// Backward variables of CTC and the occupancy of every position. One workgroup per sequence loops over all steps:
//
//   β_t(s) = log(e^γ(s) + e^γ(s+1) + [may skip] e^γ(s+2)),   minus max (α_t + β_t)
//   γ(s) = β_{t+1}(s) + log p_{t+1}(l_s)
//   occupancy_t(s) = e^(α_t(s) + β_t(s)),   at most 1
//
// Twin: src/kernels/ctc_beta.rs.
@group(0) @binding(4) var<storage, read> alpha: array<f32>;            // [steps, batch, 2·labels + 1]
@group(0) @binding(5) var<storage, read_write> beta: array<f32>;       // [2, batch, 2·labels + 1]  slot t % 2
@group(0) @binding(6) var<storage, read_write> occupancy: array<f32>;  // [steps, batch, 2·labels + 1]

fn go_on(t: u32, b: u32, s: u32) -> f32 {
    return beta[row_at(t % 2u, b) + s] + log_prob(t, b, class_at(b, s));
}

// log Σ e^γ over the successors of position s at step t + 1.
fn leave(t: u32, b: u32, s: u32) -> f32 {
    let positions = positions_of(b);
    if t + 1u == steps_of(b) { return select(LOW, 0.0, s + 2u >= positions); }
    var one = LOW;
    var two = LOW;
    if s + 1u < positions { one = go_on(t + 1u, b, s + 1u); }
    if s + 2u < positions {
        if may_skip(b, s + 2u) { two = go_on(t + 1u, b, s + 2u); }
    }
    return log_add3(go_on(t + 1u, b, s), one, two);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let b = group.x;
    let steps = steps_of(b);
    let positions = positions_of(b);
    for (var i = 0u; i < steps; i++) {
        let t = steps - 1u - i;
        let row = row_at(t, b);
        let row_beta = row_at(t % 2u, b);
        var top = LOW + LOW;
        for (var s = lane; s < positions; s += LANES) {
            let v = at_least_low(leave(t, b, s));
            beta[row_beta + s] = v;
            top = larger(top, alpha[row + s] + v);
        }
        top = largest(t % 2u, lane, top);
        for (var s = lane; s < positions; s += LANES) {
            let v = beta[row_beta + s];
            occupancy[row + s] = exp_or_nan((alpha[row + s] + v) - top);
            beta[row_beta + s] = v - top;
        }
        storageBarrier();
    }
}
