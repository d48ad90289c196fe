// dh of a GRU, reset before the product: U_rᵀ·δr + U_zᵀ·δz, where the second half computes
//
//   q = U_nᵀ·δn    δr = q·h·r·(1 − r)    v = v + q·r
//
// Requires common/gru_backward. Twin: src/kernels/recurrent_step_backward.rs.
const HALVES: u32 = 2u;

alias Deltas = mat2x4<f32>;  // a column per gate, an element per row

fn gates(u: u32, k: u32) -> vec2<f32> {
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
        q += packed[first + k * ROW] * delta(at, 2u, k);
        q += packed[first + (k + 1u) * ROW] * delta(at, 2u, k + 1u);
        q += packed[first + (k + 2u) * ROW] * delta(at, 2u, k + 2u);
        q += packed[first + (k + 3u) * ROW] * delta(at, 2u, k + 3u);
    }
    for (; k < params.hidden; k++) { q += packed[first + k * ROW] * delta(at, 2u, k); }
    let r = load_saved(s, 0u, unit);
    let old = old_state(s, 0u, unit);
    let v = load_carry(carry_at(s.d, s.rows, 0u, unit));
    store_gate(s, 0u, unit, q * old * r * (1.0 - r));
    pass_on(s, 0u, unit, v, v + q * r);
}
