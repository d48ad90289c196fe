const IN_WORD: u32 = 2u;  // consecutive k per word

// Unpacks the weights of a word: a bf16 is the upper half of an f32.
fn weights(at: u32) -> vec4<f32> {
    return vec4(bitcast<f32>(packed[at] << 16u), bitcast<f32>(packed[at] & 0xffff0000u), 0.0, 0.0);
}
