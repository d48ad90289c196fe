// Factor and summand of a step of a minimal GRU. Host side: src/kernels/min_gru_sequence.rs.

// log(1 + e) for e in [0, 1]; uses the series where 1 + e would round e away at every step.
fn log_1p(e: f32) -> f32 {
    let series = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * (0.25 - e * (0.2 - e / 6.0)))));
    return select(log(1.0 + e), series, e < 0.0625);
}

fn log_sigmoid(x: f32) -> f32 { return select(x, 0.0, x >= 0.0) - log_1p(exp(-abs(x))); }

// log g(x)
fn log_g(x: f32) -> f32 {
    if x >= 0.0 { return log(x + 0.5); }
    return log_sigmoid(x);
}

fn factor(k: f32) -> f32 {
    if params.log == 1u { return at_least_low(log_sigmoid(-k)); }
    return sigmoid(-k);
}

fn summand(k: f32, v: f32) -> f32 {
    if params.log == 1u { return at_least_low(log_sigmoid(k) + log_g(v)); }
    return sigmoid(k) * v;
}
