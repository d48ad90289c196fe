const IN_WORD: u32 = 2u;  // consecutive k per word

fn weight(at: u32, k: u32) -> f32 { return unpack2x16float(word(at))[k % IN_WORD]; }
