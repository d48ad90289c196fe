// Four rows of a simple cell:  h' = tanh(v), or max(v, 0),  where v = x + U·h + d.
//
// Twin: src/kernels/recurrent_step.rs.
const GATES: u32 = 1u;
const STATES: u32 = 1u;
const SAVED: u32 = 1u;  // h'
const RELU: u32 = 4u;   // the cell with max(v, 0)

alias Gates = f32;        // of one row
alias Sums = vec4<f32>;   // of four rows

fn gates(j: u32, k: u32) -> Gates { return weight(j, k); }

fn first_half(s: Step, u: u32, unit: u32, sums: Sums) -> vec4<f32> {
    let old = old_state(s, 0u, unit);
    let v = input(s, 0u, unit) + product(u, sums);
    // Tests for negative numbers on the bits, as a range that excludes NaN: drivers with fast math may turn a
    // comparison into `max`, which loses NaN.
    let negative = bitcast<vec4<u32>>(v) - vec4(0x80000001u) < vec4(0x7f800000u);
    var fresh = select(v, vec4(0.0), negative);
    if params.cell != RELU { fresh = tanh4(v); }
    keep(s, 0u, unit, fresh);
    return commit(s, 0u, unit, old, fresh);
}
