// Parameters and index arithmetic that the cell kernels share. Requires common/nan. Host side: src/kernels/cell.rs.
struct Params {
    kinds: vec4<u32>, alphas: vec4<f32>, betas: vec4<f32>,  // activations of the gates
    out_kind: u32, out_alpha: f32, out_beta: f32,           // activation of the LSTM's cell state
    clip: f32,                                              // bound of the pre-activations, 0 for none
    steps: u32, batch: u32, hidden: u32, directions: u32, reverse: u32, step: u32,
    out: u32,        // width of the output, H or that of the projection
    width: u32,      // width of the state: out, plus H for the LSTM's cell state
    saved_row: u32, gates_row: u32,  // words per row of saved and of d_gates
    save: u32,       // 1: saved holds every step, else only the current one
    half: u32,       // 0: the whole step; 1, 2: its halves
    coupled: u32,    // 1: f = 1 − i
    peephole: u32,   // 1: the gates read the cell state
    d_out_row: u32,  // stride between rows of d_out
}

@group(0) @binding(0) var<uniform> params: Params;

// False for NaN; true for infinity only if there is a bound.
fn is_beyond(v: f32) -> bool { return params.clip > 0.0 && abs(v) > params.clip && !is_nan(v); }

fn clipped(v: f32) -> f32 { return select(v, select(params.clip, -params.clip, v < 0.0), is_beyond(v)); }

fn gate(g: u32, v: f32) -> f32 { return activate(params.kinds[g], params.alphas[g], params.betas[g], v); }

// Slope of a gate with respect to its pre-activation before clipping; y = gate(g, clipped(v)).
fn gate_slope(g: u32, v: f32, y: f32) -> f32 {
    return select(slope(params.kinds[g], params.alphas[g], params.betas[g], v, y), 0.0, is_beyond(v));
}

fn saved_at(d: u32, t: u32, row: u32) -> u32 {
    let slots = select(1u, params.steps, params.save == 1u);
    return ((d * slots + min(t, slots - 1u)) * params.batch + row) * params.saved_row;
}
fn state_at(d: u32, slot: u32, row: u32) -> u32 {
    return ((d * (params.steps + 1u) + slot) * params.batch + row) * params.width;
}
