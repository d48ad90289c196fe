// Activations that stay in range for every finite f32: exp only sees arguments ≤ 0, because WGSL leaves its result
// undefined once it overflows. NaN stays NaN, even where exp turns it into infinity (common/nan.wgsl).
// CPU side: src/math.rs.
//
// Below −87 the sigmoid is exactly 0: e^v is subnormal there, which some devices keep and others flush. The bits of
// such numbers are a range, which NaN is outside of.
fn sigmoid(v: f32) -> f32 {
    let e = exp(-abs(v));
    return select(select(e, 1.0, v >= 0.0) / (1.0 + e), 0.0, bitcast<u32>(v) - 0xc2ae0001u < 0x3cd20000u);
}

// Uses the odd series where 1 − e would cancel.
fn tanh_stable(v: f32) -> f32 {
    let s = v * v;
    let series = v * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    let e = exp(-2.0 * abs(v));
    let exact = (1.0 - e) / (1.0 + e);
    return select(select(exact, -exact, v < 0.0), series, abs(v) < 0.25);
}

// log(1 + e^v), accurate where e^v would overflow or vanish.
fn softplus(v: f32) -> f32 {
    return select(v, 0.0, v <= 0.0) + log(1.0 + exp(-abs(v)));
}

// e^v; above 0 as the square of its root, so that a result that fits in f32 does not overflow on the way.
fn exp_stable(v: f32) -> f32 {
    let root = 1.0 / exp(-0.5 * abs(v));
    return select(select(v, exp(-abs(v)), v <= 0.0), root * root, v > 0.0);
}

fn elu(v: f32, alpha: f32) -> f32 {
    return select(v, alpha * (exp(-abs(v)) - 1.0), v <= 0.0);
}

fn softsign(v: f32) -> f32 {
    return v / (1.0 + abs(v));
}
