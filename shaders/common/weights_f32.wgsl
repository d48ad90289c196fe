// Packed recurrent weights as f32. Other formats: common/weights_low. Requires common/plain.
// Host side: src/kernels/stored.rs.
@group(0) @binding(2) var<storage, read> packed: array<f32>;  // [D, blocks, H + 1, G, 16]

// Rows per block.
fn depth() -> u32 { return params.hidden + 1u; }

// The word that holds weight k of the gate whose first word is u.
fn word_at(u: u32, k: u32) -> u32 { return u + k * ROW; }

// Weights k to k + 3 of a gate, where j is the word of k, a multiple of 4.
fn weights_of_four(j: u32) -> vec4<f32> {
    return vec4(packed[j], packed[j + ROW], packed[j + 2u * ROW], packed[j + 3u * ROW]);
}

// Weight k of a gate.
fn weight(j: u32, k: u32) -> f32 { return packed[j]; }

// U·v + b_hh of four rows, from the sum of products; u is the first weight.
fn product(u: u32, sum: vec4<f32>) -> vec4<f32> { return packed[u + params.hidden * ROW] + sum; }
