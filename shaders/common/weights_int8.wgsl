const IN_WORD: u32 = 4u;  // consecutive k per word

// Unpacks the weights of a word, before scaling. Uses shifts, because not every browser has unpack4xI8.
fn weights(at: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4(packed[at]) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u));
}
