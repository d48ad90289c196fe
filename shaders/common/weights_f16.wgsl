const IN_WORD: u32 = 2u;  // consecutive k per word

// Unpacks the weights of a word.
fn weights(at: u32) -> vec4<f32> { return vec4(unpack2x16float(packed[at]), 0.0, 0.0); }
