// Forward variables of CTC. One workgroup per sequence loops over all steps:
//
//   α_t(s) = log p_t(l_s) + log(e^α_{t−1}(s) + e^α_{t−1}(s−1) + [may skip] e^α_{t−1}(s−2)),   minus its maximum over s
//   loss = −(sum of the maxima) − log(e^α_T(last) + e^α_T(last − 1));   infinite (0 with zero_infinity)
//   if no path fits
//
// Twin: src/kernels/ctc_alpha.rs.
@group(0) @binding(4) var<storage, read_write> alpha: array<f32>;     // [steps, batch, 2·labels + 1]
@group(0) @binding(5) var<storage, read_write> loss: array<f32>;      // [batch]
@group(0) @binding(6) var<storage, read_write> feasible: array<f32>;  // [batch]  1, or 0 if no path fits

// log Σ e^α over the predecessors of position s at step t − 1.
fn arrive(t: u32, b: u32, s: u32) -> f32 {
    if t == 0u { return select(LOW, 0.0, s < 2u); }
    let at = row_at(t - 1u, b) + s;
    var one = LOW;
    var two = LOW;
    if s >= 1u { one = alpha[at - 1u]; }
    if may_skip(b, s) { two = alpha[at - 2u]; }
    return log_add3(alpha[at], one, two);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let b = group.x;
    let steps = steps_of(b);
    let positions = positions_of(b);
    var level = 0.0;
    for (var t = 0u; t < steps; t++) {
        let row = row_at(t, b);
        var top = LOW;
        for (var s = lane; s < positions; s += LANES) {
            let v = at_least_low(arrive(t, b, s) + log_prob(t, b, class_at(b, s)));
            alpha[row + s] = v;
            top = larger(top, v);
        }
        top = largest(t % 2u, lane, top);
        for (var s = lane; s < positions; s += LANES) {
            alpha[row + s] = alpha[row + s] - top;
        }
        level += top;
        storageBarrier();
    }
    if lane != 0u { return; }
    var total = select(LOW, 0.0, positions == 1u);
    if steps > 0u {
        let last = row_at(steps - 1u, b) + positions - 1u;
        var before = LOW;
        if positions > 1u { before = alpha[last - 1u]; }
        total = level + log_add3(alpha[last], before, LOW);
    }
    let impossible = total < 0.5 * LOW && !is_nan(total);
    let infinity = bitcast<f32>(0x7f800000u | (lane & 0u));
    loss[b] = select(-total, select(infinity, 0.0, params.zero_infinity == 1u), impossible);
    feasible[b] = select(1.0, 0.0, impossible);
}
