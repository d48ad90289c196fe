// The states of a first-order recurrence, chunk by chunk, each from the state that the chunk before it reached:
//
//   h_i = a_i·h_{i−1} + b_i
//
// h0 is no logarithm, nor is h with params.exp. Twin: src/kernels/scan.rs.
@group(0) @binding(3) var<storage, read> h0: array<f32>;        // [width]
@group(0) @binding(4) var<storage, read> carry: array<f32>;     // [chunks, width]  states after the chunks
@group(0) @binding(5) var<storage, read_write> h: array<f32>;   // [steps, width]

fn first_state(column: u32) -> f32 {
    let v = h0[column];
    if params.log == 0u { return v; }
    // log v; NaN below 0
    let nan = bitcast<f32>(0x7fc00000u | (column & 0u));
    return select(select(log_or_nan(v), LOW, v == 0.0), nan, v < 0.0);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let chunks = (params.steps + params.chunk - 1u) / params.chunk;
    if i >= chunks * params.width { return; }
    let first = i / params.width * params.chunk;
    let column = i % params.width;
    var state = 0.0;
    if first == 0u { state = first_state(column); } else { state = carry[i - params.width]; }
    for (var step = first; step < min(first + params.chunk, params.steps); step++) {
        let at = row_of(step) + column;
        state = plus(times(factor(step, column), state), b[at]);
        h[at] = state;
        if params.exp == 1u { h[at] = exp_stable(state); }
    }
}
