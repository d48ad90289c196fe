// v·factor, but 0 where the factor is 0, even if v is not finite (0·∞ is NaN). Tests the bits of the factor without its
// sign, because NaN must not pass for 0 (common/nan.wgsl). CPU side: src/math.rs.
fn masked(v: f32, factor: f32) -> f32 { return select(v * factor, 0.0, (bitcast<u32>(factor) << 1u) == 0u); }
