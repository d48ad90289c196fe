// Sums over paths in log space, where exp only sees arguments ≤ 0. Requires common/ctc, common/low and common/nan.
@group(0) @binding(3) var<storage, read> log_probs: array<f32>;  // [steps, batch, classes]

const LANES: u32 = 64u;

var<workgroup> tops: array<f32, 128>;

// NaN for a class ≥ classes.
fn log_prob(t: u32, b: u32, symbol: u32) -> f32 {
    if symbol >= params.classes { return bitcast<f32>(0x7fc00000u | (t & 0u)); }
    return at_least_low(log_probs[(t * params.batch + b) * params.classes + symbol]);
}

// log(e^x + e^y + e^z)
fn log_add3(x: f32, y: f32, z: f32) -> f32 {
    var top = select(x, y, y > x);
    top = select(top, z, z > top);
    return top + log_or_nan(exp_or_nan(x - top) + exp_or_nan(y - top) + exp_or_nan(z - top));
}

// Whether a path may go from position s - 2 to s: not over a blank, and not between equal labels.
fn may_skip(b: u32, s: u32) -> bool {
    return s % 2u == 1u && s >= 2u && class_at(b, s) != class_at(b, s - 2u);
}

// The larger of top, a number, and v; top if v is NaN.
fn larger(top: f32, v: f32) -> f32 { return select(top, v, v > top && !is_nan(v)); }

// Maximum of v, a number, over the workgroup. Calls must alternate between the slots 0 and 1: lanes may still read the
// last call's result, and the barriers of this call order those reads before the next one's writes.
fn largest(slot: u32, lane: u32, v: f32) -> f32 {
    let first = slot * LANES;
    let at = first + lane;
    tops[at] = v;
    workgroupBarrier();
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        if lane < half { tops[at] = max(tops[at], tops[at + half]); }
        workgroupBarrier();
    }
    return tops[first];
}
