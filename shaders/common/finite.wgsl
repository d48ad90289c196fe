// Tests the bits of v, because drivers may assume that operands are never NaN or infinite.
fn is_finite(v: f32) -> bool { return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u; }
