const IN_WORD: u32 = 2u;  // consecutive k per word

fn weights_of_four(j: u32) -> vec4<f32> { return vec4(unpack2x16float(packed[j]), unpack2x16float(packed[j + ROW])); }

fn weight(j: u32, k: u32) -> f32 { return unpack2x16float(packed[j])[k % 2u]; }
