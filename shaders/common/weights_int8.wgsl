const IN_WORD: u32 = 4u;  // consecutive k per word

// Before scaling. Uses shifts, because not every browser has unpack4xI8.
fn weight(at: u32, k: u32) -> f32 {
    return f32(bitcast<i32>(word(at) << (24u - 8u * (k % IN_WORD))) >> 24u);
}
