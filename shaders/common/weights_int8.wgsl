const IN_WORD: u32 = 4u;  // consecutive k per word

// Before scaling. Uses shifts, because not every browser has unpack4xI8.
fn weights_of_four(j: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4(packed[j]) << vec4(24u, 16u, 8u, 0u)) >> vec4(24u));
}

fn weight(j: u32, k: u32) -> f32 { return f32(bitcast<i32>(packed[j] << (24u - 8u * (k % 4u))) >> 24u); }
