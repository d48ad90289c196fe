const IN_WORD: u32 = 2u;  // neighbouring k that a word holds

// The weights of a word: the upper halves of f32.
fn weights(at: u32) -> vec4<f32> {
    return vec4(bitcast<f32>(packed[at] << 16u), bitcast<f32>(packed[at] & 0xffff0000u), 0.0, 0.0);
}
