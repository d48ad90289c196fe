// dh of a GRU, reset before the product: U_rᵀ·δr + U_zᵀ·δz, where the second half computes
//
//   q = U_nᵀ·δn    δr = q·h·r·(1 − r)    v = v + q·r
//
// Requires common/gru_backward. Twin: src/kernels/recurrent_step_backward.rs.
const HALVES: u32 = 2u;

alias Deltas = mat2x4<f32>;  // a column per gate, an element per row

fn gates_of_four(u: u32, k: u32) -> mat4x2<f32> {
    let j = u + k * ROW;
    return transpose(mat2x4(weights_of_four(j, ROW), weights_of_four(j + BLOCK, ROW)));
}

fn gates_of_one(u: u32, k: u32) -> vec2<f32> {
    let j = u + k * ROW;
    return vec2(packed[j], packed[j + BLOCK]);
}

fn deltas(at: vec4<u32>, k: u32) -> Deltas { return Deltas(delta(at, 0u, k), delta(at, 1u, k)); }

fn plus(sum: vec4<f32>, w: vec2<f32>, d: Deltas) -> vec4<f32> { return sum + w.x * d[0] + w.y * d[1]; }

fn second_half(s: Step, u: u32, unit: u32, at: vec4<u32>) {
    let first = u + 2u * BLOCK;
    var q = vec4(0.0);
    var k = 0u;
    for (; k + 4u <= params.hidden; k += 4u) {
        let w = weights_of_four(first + k * ROW, ROW);
        let d0 = delta(at, 2u, k);
        let d1 = delta(at, 2u, k + 1u);
        let d2 = delta(at, 2u, k + 2u);
        let d3 = delta(at, 2u, k + 3u);
        q = q + w.x * d0 + w.y * d1 + w.z * d2 + w.w * d3;
    }
    for (; k < params.hidden; k++) { q += packed[first + k * ROW] * delta(at, 2u, k); }
    let r = load_saved(s, 0u, unit);
    let old = old_state(s, 0u, unit);
    let v = load_carry(carry_at(s.d, s.rows, 0u, unit));
    store_gate(s, 0u, unit, q * old * r * (1.0 - r));
    pass_on(s, 0u, unit, v, v + q * r);
}
