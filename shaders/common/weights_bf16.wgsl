const IN_WORD: u32 = 2u;  // consecutive k per word

// A bf16 is the upper half of an f32.
fn weights_of_four(j: u32) -> vec4<f32> {
    let a = packed[j];
    let b = packed[j + ROW];
    return bitcast<vec4<f32>>(vec4(a << 16u, a & 0xffff0000u, b << 16u, b & 0xffff0000u));
}

fn weight(j: u32, k: u32) -> f32 { return bitcast<f32>((packed[j] >> (16u * (k % 2u))) << 16u); }
