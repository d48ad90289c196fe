// Gradients of four rows of an LSTM, with s = tanh(c'):
//
//   δo = dh·s·o·(1 − o)    dc = v_c + dh·o·(1 − s²)    δi = dc·g·i·(1 − i)    δf = dc·c·f·(1 − f)
//   δg = dc·i·(1 − g²)     v_c = dc·f                  dh = Σ_g U_gᵀ·δ_g
//
// Twin: src/kernels/recurrent_step_backward.rs.
const GATES: u32 = 4u;
const STATES: u32 = 2u;
const SAVED: u32 = 5u;
const GRADIENTS: u32 = 4u;  // δi, δf, δg, δo

alias Deltas = mat4x4<f32>;  // a column per gate, an element per row

fn gates(u: u32, k: u32) -> vec4<f32> {
    let j = u + k * BLOCK;
    let gate = params.hidden * BLOCK;
    return vec4(packed[j], packed[j + gate], packed[j + 2u * gate], packed[j + 3u * gate]);
}

fn deltas(at: vec4<u32>, k: u32) -> Deltas {
    return Deltas(delta(at, 0u, k), delta(at, 1u, k), delta(at, 2u, k), delta(at, 3u, k));
}

fn plus(sum: vec4<f32>, w: vec4<f32>, d: Deltas) -> vec4<f32> {
    return sum + w.x * d[0] + w.y * d[1] + w.z * d[2] + w.w * d[3];
}

fn first_half(s: Step, unit: u32, v: vec4<f32>) {
    let i = load_saved(s, 0u, unit);
    let f = load_saved(s, 1u, unit);
    let g = load_saved(s, 2u, unit);
    let o = load_saved(s, 3u, unit);
    let out = load_saved(s, 4u, unit);
    let old = old_state(s, 1u, unit);
    let at = carry_at(s.d, s.rows, 1u, unit);
    let v_c = take(s, at, load_carry(at));
    let dh = take_shown(s, unit, v);
    let dc = v_c + dh * o * (1.0 - out * out);
    store_gate(s, 0u, unit, dc * g * i * (1.0 - i));
    store_gate(s, 1u, unit, dc * old * f * (1.0 - f));
    store_gate(s, 2u, unit, dc * i * (1.0 - g * g));
    store_gate(s, 3u, unit, dh * out * o * (1.0 - o));
    pass_on(s, 0u, unit, dh, vec4(0.0));
    pass_on(s, 1u, unit, v_c, dc * f);
}
