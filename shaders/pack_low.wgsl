// packed[d, block, word, gate, lane]: U[gate·H + unit, k] of 2 or 4 consecutive k, the first in the lowest bits,
// unit = 16·block + lane; followed by a row of b_hh and a row of scales, both f32:
//
//   f16, bf16: round to nearest even, scale 1      int8: round(U / s), s = max_k |U| / 127
//
// Weights past H are 0. A row with a weight that is not finite, or out of range for f16, gets the scale NaN. Integer
// bit operations make the rounding the same on every GPU. Each invocation packs one row of U.
// Twin: src/kernels/pack_low.rs.
struct Params { hidden: u32, gates: u32, direction: u32, format: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> u: array<f32>;             // [gates, hidden, hidden]
@group(0) @binding(2) var<storage, read> bias: array<f32>;          // [gates, hidden]
@group(0) @binding(3) var<storage, read_write> packed: array<u32>;  // [direction + 1, blocks, words + 2, gates, 16]

const F16: u32 = 1u;
const BF16: u32 = 2u;
const INT8: u32 = 3u;
const NAN: u32 = 0x7fc00000u;

fn half(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    let size = bits & 0x7fffffffu;
    let normal = (size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u;
    // Below the smallest normal f16: adding ½ rounds to a multiple of 2⁻²⁴.
    let small = bitcast<u32>(abs(v) + 0.5) - 0x3f000000u;
    return ((bits >> 16u) & 0x8000u) | select(normal, small, size < 0x38800000u);
}

fn brain(v: f32) -> u32 {
    let bits = bitcast<u32>(v);
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn byte(v: f32, top: f32) -> u32 {
    if top < 1e-37 { return 0u; }
    return u32(i32(round(v / top * 127.0))) & 0xffu;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let h = params.hidden;
    let blocks = (h + 15u) / 16u;
    let all = 16u * params.gates;
    let i = linear(id);
    if i >= blocks * all { return; }
    let in_word = select(2u, 4u, params.format == INT8);
    let words = (h + in_word - 1u) / in_word;
    let unit = i / all * 16u + i % 16u;
    let row = i % all / 16u * h + unit;
    let to = (params.direction * blocks + i / all) * (words + 2u) * all + i % all;
    let count = select(0u, h, unit < h);

    var top = 0.0;
    var is_kept = true;
    for (var k = 0u; k < count; k++) {
        let v = u[row * h + k];
        top = max(top, abs(v));
        is_kept = is_kept && (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
    }
    is_kept = is_kept && (params.format != F16 || half(top) < 0x7c00u);

    for (var word = 0u; word < words; word++) {
        var bits = 0u;
        for (var k = in_word * word; k < min(in_word * (word + 1u), count); k++) {
            let v = u[row * h + k];
            switch params.format {
                case F16: { bits |= half(v) << (16u * (k % 2u)); }
                case BF16: { bits |= brain(v) << (16u * (k % 2u)); }
                default: { bits |= byte(v, top) << (8u * (k % 4u)); }
            }
        }
        packed[to + word * all] = bits;
    }
    var bias_bits = 0u;
    if unit < h { bias_bits = bitcast<u32>(bias[row]); }
    packed[to + words * all] = bias_bits;
    let scale = select(1.0, top / 127.0, params.format == INT8);
    packed[to + (words + 1u) * all] = select(NAN, bitcast<u32>(scale), is_kept);
}
