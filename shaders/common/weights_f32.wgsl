// Packed recurrent weights as f32. Other formats: common/weights_low. Requires common/fused, and `word(at)`, which
// returns a word from memory or registers: common/weights_read or _held.
// Host side: src/kernels/weight_dtype.rs.
@group(0) @binding(2) var<storage, read> packed: array<f32>;  // [D, blocks, H + 1, G, 16]

const IN_WORD: u32 = 1u;  // consecutive k per word

// Rows per block.
fn depth() -> u32 { return params.hidden + 1u; }

alias Word = f32;

// The weight of k in its word. Only k modulo IN_WORD matters.
fn weight(at: u32, k: u32) -> f32 { return word(at); }

// U·v + b_hh of four rows, from the sum of products; u is the first weight.
fn product(u: u32, sum: vec4<f32>) -> vec4<f32> { return packed[u + params.hidden * ROW] + sum; }
