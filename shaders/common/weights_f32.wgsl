// Packed recurrent weights as f32. One of four parts that read them: f32, f16, bf16, int8. Wants common/plain.
// Host side: src/kernels/stored.rs.
@group(0) @binding(2) var<storage, read> packed: array<f32>;  // [D, blocks, H + 1, 3, 16]

const IN_WORD: u32 = 1u;  // neighbouring k that a word holds

// Rows of a block.
fn depth() -> u32 { return params.hidden + 1u; }

// The weights of a word, IN_WORD of them.
fn weights(at: u32) -> vec4<f32> { return vec4(packed[at], 0.0, 0.0, 0.0); }

// U·v + b_hh of four rows, from the sum of the products; `u` is the first weight.
fn product(u: u32, sum: vec4<f32>) -> vec4<f32> { return packed[u + params.hidden * LANES] + sum; }

// A k that is read, and what was read there: past the last there are none.
fn within(k: u32) -> u32 { return k; }
fn known(k: u32, v: vec4<f32>) -> vec4<f32> { return v; }
