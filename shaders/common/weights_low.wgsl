// Packed low-precision recurrent weights, with several k per word. The next part unpacks a word: common/weights_f16,
// _bf16 or _int8. Its functions are those of common/weights_f32, with the same requirements.
// Host side: src/kernels/weight_dtype.rs.
@group(0) @binding(2) var<storage, read> packed: array<u32>;  // [D, blocks, ⌈H / IN_WORD⌉ + 2, G, 16]

alias Word = u32;

// Rows of weight words; the b_hh and scale rows follow.
fn words() -> u32 { return (params.hidden + IN_WORD - 1u) / IN_WORD; }

fn depth() -> u32 { return words() + 2u; }

fn product(u: u32, sum: vec4<f32>) -> vec4<f32> {
    let at = u + words() * ROW;
    return bitcast<f32>(packed[at]) + bitcast<f32>(packed[at + ROW]) * sum;
}
