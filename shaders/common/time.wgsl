// Time order of a direction; reads params.steps and params.reverse. Host side: src/kernels/time.rs.
//
// All sequences are time-first. A slot of `state` holds the state between two steps: direction d reads slot before(d,
// t) and writes slot after(d, t), so the reverse direction fills the same buffer from its end.
// params.reverse 0: the second of two directions is reverse; 1: the only direction is reverse; 2: none is.
fn is_reverse(d: u32) -> bool { return d + params.reverse == 1u; }

// Time index of the step-th step of direction d.
fn time_of(d: u32, step: u32) -> u32 { return select(step, params.steps - 1u - step, is_reverse(d)); }

fn before(d: u32, t: u32) -> u32 { return select(t, t + 1u, is_reverse(d)); }
fn after(d: u32, t: u32) -> u32 { return select(t + 1u, t, is_reverse(d)); }
