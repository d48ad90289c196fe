// Gradients of four rows of a GRU:
//
//   δn = dh·(1 − z)·(1 − n²)    δz = dh·(h − n)·z·(1 − z)    δr = δn·c·r·(1 − r)    δc = δn·r    v = dh·z
//
// Reset before the product replaces δr in the second half. Twin: src/kernels/recurrent_step_backward.rs.
const GATES: u32 = 3u;
const STATES: u32 = 1u;
const SAVED: u32 = 4u;
const GRADIENTS: u32 = 4u;  // δr, δz, δn, δc

fn first_half(s: Step, unit: u32, v: vec4<f32>) {
    let r = load_saved(s, 0u, unit);
    let z = load_saved(s, 1u, unit);
    let n = load_saved(s, 2u, unit);
    let c = load_saved(s, 3u, unit);
    let old = old_state(s, 0u, unit);
    let dh = take_shown(s, unit, v);
    let dn = dh * (1.0 - z) * (1.0 - n * n);
    store_gate(s, 0u, unit, dn * c * r * (1.0 - r));
    store_gate(s, 1u, unit, dh * (old - n) * z * (1.0 - z));
    store_gate(s, 2u, unit, dn);
    store_gate(s, 3u, unit, dn * r);
    pass_on(s, 0u, unit, dh, dh * z);
}
