const IN_WORD: u32 = 2u;  // consecutive k per word

// A bf16 is the upper half of an f32.
fn weight(at: u32, k: u32) -> f32 { return bitcast<f32>((word(at) >> (16u * (k % IN_WORD))) << 16u); }
