// Gradients of four rows of a simple cell:  δ = dh·(1 − h'²), or dh where h' > 0;  dh = Uᵀ·δ.
//
// Twin: src/kernels/recurrent_step_backward.rs.
const GATES: u32 = 1u;
const STATES: u32 = 1u;
const SAVED: u32 = 1u;
const GRADIENTS: u32 = 1u;
const RELU: u32 = 4u;

fn gates(u: u32, k: u32) -> f32 { return packed[u + k * BLOCK]; }

fn deltas(at: vec4<u32>, k: u32) -> vec4<f32> { return delta(at, 0u, k); }

fn plus(sum: vec4<f32>, w: f32, d: vec4<f32>) -> vec4<f32> { return sum + w * d; }

fn first_half(s: Step, unit: u32, v: vec4<f32>) {
    let fresh = load_saved(s, 0u, unit);
    let dh = take_shown(s, unit, v);
    // Keeps NaN as NaN, by its bits: some drivers do not compute NaN·0 as NaN, or assume that there is no NaN.
    let bits = bitcast<vec4<u32>>(fresh) & vec4(0x7fffffffu);
    let relu = select(select(vec4(1.0), vec4(0.0), bits == vec4(0u)), fresh, bits > vec4(0x7f800000u));
    store_gate(s, 0u, unit, dh * select(1.0 - fresh * fresh, relu, params.cell == RELU));
    pass_on(s, 0u, unit, dh, vec4(0.0));
}
