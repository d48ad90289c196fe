// v·factor, and 0 where the factor is 0, whatever v is: 0·∞ is NaN. CPU side: src/math.rs.
fn masked(v: f32, factor: f32) -> f32 { return select(v * factor, 0.0, factor == 0.0); }
