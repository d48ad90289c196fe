// Tests the bits of v, since drivers may assume that comparisons never meet NaN or infinity.
fn is_finite(v: f32) -> bool { return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u; }
