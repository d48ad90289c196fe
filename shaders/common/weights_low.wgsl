// Packed recurrent weights of fewer bits, several k to a word, before the part that unpacks a word: common/weights_f16,
// _bf16 or _int8. Wants common/plain. Host side: src/kernels/stored.rs.
@group(0) @binding(2) var<storage, read> packed: array<u32>;  // [D, blocks, ⌈H / IN_WORD⌉ + 2, 3, 16]

// Rows of words, before the row of b_hh and that of the scales.
fn words() -> u32 { return (params.hidden + IN_WORD - 1u) / IN_WORD; }

// Rows of a block.
fn depth() -> u32 { return words() + 2u; }

// U·v + b_hh of four rows, from the sum of the products; `u` is the first weight.
fn product(u: u32, sum: vec4<f32>) -> vec4<f32> {
    let at = u + words() * LANES;
    return bitcast<f32>(packed[at]) + bitcast<f32>(packed[at + LANES]) * sum;
}

// A k that is read: past the last, the last again, which `known` makes 0 of.
fn within(k: u32) -> u32 { return min(k, params.hidden - 1u); }

// The value read at k, and 0 past the last: its weights are 0 there, but 0·∞ is NaN.
fn known(k: u32, v: vec4<f32>) -> vec4<f32> { return select(vec4(0.0), v, k < params.hidden); }
