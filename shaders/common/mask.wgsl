// v·factor, but 0 where the factor is 0, even if v is not finite (0·∞ is NaN). CPU side: src/math.rs.
fn masked(v: f32, factor: f32) -> f32 { return select(v * factor, 0.0, factor == 0.0); }
