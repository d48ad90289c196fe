// Packed recurrent weights as f32. Other formats: common/weights_low. Requires common/plain.
// Host side: src/kernels/stored.rs.
@group(0) @binding(2) var<storage, read> packed: array<f32>;  // [D, blocks, H + 1, 3, 16]

const IN_WORD: u32 = 1u;  // consecutive k per word

// Rows per block.
fn depth() -> u32 { return params.hidden + 1u; }

// The IN_WORD weights of a word.
fn weights(at: u32) -> vec4<f32> { return vec4(packed[at], 0.0, 0.0, 0.0); }

// U·v + b_hh of four rows, from the sum of products; `u` is the first weight.
fn product(u: u32, sum: vec4<f32>) -> vec4<f32> { return packed[u + params.hidden * LANES] + sum; }

// Counterparts of the functions in common/weights_low. Here they are identities, because no word extends past the last
// k.
fn within(k: u32) -> u32 { return k; }
fn known(k: u32, v: vec4<f32>) -> vec4<f32> { return v; }
