// Packed low-precision recurrent weights, with several k per word. The part that follows unpacks a word:
// common/weights_f16, _bf16 or _int8. Requires common/plain. Host side: src/kernels/stored.rs.
@group(0) @binding(2) var<storage, read> packed: array<u32>;  // [D, blocks, ⌈H / IN_WORD⌉ + 2, 3, 16]

// Rows of weight words; the b_hh and scale rows follow.
fn words() -> u32 { return (params.hidden + IN_WORD - 1u) / IN_WORD; }

// Rows per block.
fn depth() -> u32 { return words() + 2u; }

// U·v + b_hh of four rows, from the sum of products; `u` is the first weight.
fn product(u: u32, sum: vec4<f32>) -> vec4<f32> {
    let at = u + words() * LANES;
    return bitcast<f32>(packed[at]) + bitcast<f32>(packed[at + LANES]) * sum;
}

// Clamps k to the last column, so that reads past it stay in bounds; `known` zeroes the value read.
fn within(k: u32) -> u32 { return min(k, params.hidden - 1u); }

// Zeroes values read past the last k. The weights there are 0, but 0·∞ would be NaN.
fn known(k: u32, v: vec4<f32>) -> vec4<f32> { return select(vec4(0.0), v, k < params.hidden); }
