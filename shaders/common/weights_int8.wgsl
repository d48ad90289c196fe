const IN_WORD: u32 = 4u;  // neighbouring k that a word holds

// The weights of a word, before their scale. By shifts, because unpack4xI8 is not in every browser.
fn weights(at: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4(packed[at]) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u));
}
