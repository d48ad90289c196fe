// Finite stand-in for log 0, so that no value becomes infinite. CPU side: src/math.rs.
const LOW: f32 = -1e30;

// NaN stays NaN. Requires common/nan.
fn at_least_low(v: f32) -> f32 { return select(v, LOW, v < LOW && !is_nan(v)); }
