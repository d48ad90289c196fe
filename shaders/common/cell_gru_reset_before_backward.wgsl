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

// q, for k from `first` to below `last`.
fn second_sum(u: u32, at: vec4<u32>, first: u32, last: u32) -> vec4<f32> {
    let n = u + 2u * BLOCK;
    var q = vec4(0.0);
    var k = first;
    for (; k + 4u <= last; k += 4u) {
        q += packed[n + k * ROW] * delta(at, 2u, k);
        q += packed[n + (k + 1u) * ROW] * delta(at, 2u, k + 1u);
        q += packed[n + (k + 2u) * ROW] * delta(at, 2u, k + 2u);
        q += packed[n + (k + 3u) * ROW] * delta(at, 2u, k + 3u);
    }
    for (; k < last; k++) { q += packed[n + k * ROW] * delta(at, 2u, k); }
    return q;
}

fn second_half(s: Step, unit: u32, q: vec4<f32>) {
    let r = load_saved(s, 0u, unit);
    let old = old_state(s, 0u, unit);
    let v = load_carry(carry_at(s.d, s.rows, 0u, unit));
    store_gate(s, 0u, unit, q * old * r * (1.0 - r));
    pass_on(s, 0u, unit, v, v + q * r);
}
