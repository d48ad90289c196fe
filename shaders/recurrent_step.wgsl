// One step of the chain plan for all directions: the recurrent product of all gates from one load of h, with the cell
// as its epilogue. Each invocation computes one unit of four rows. Equations: common/cell_*.
//
// Twin: src/kernels/recurrent_step.rs.
fn value(at: vec4<u32>, k: u32) -> vec4<f32> { return load_state(at + k); }

// As `products`, for a batch of one: loads each value once instead of four times.
fn products_of_one(u: u32, at: u32) -> Sums {
    var a = Gates();
    var k = 0u;
    for (; k + 4u <= params.hidden; k += 4u) {
        let j = u + k / IN_WORD * ROW;
        a += gates(j, 0u) * state[at + k];
        a += gates(j + 1u / IN_WORD * ROW, 1u) * state[at + k + 1u];
        a += gates(j + 2u / IN_WORD * ROW, 2u) * state[at + k + 2u];
        a += gates(j + 3u / IN_WORD * ROW, 3u) * state[at + k + 3u];
    }
    for (; k < params.hidden; k++) { a += gates(u + k / IN_WORD * ROW, k) * state[at + k]; }
    return Sums(a, Gates(), Gates(), Gates());
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let d = id.z;
    let step = begin(d);
    if unit >= params.hidden || step >= end(d, 1u) { return; }
    let s = step_of(d, time_of(d, step), 4u * id.y);
    let u = packed_at(d, unit, depth());
    if HALVES == 2u && params.half == 1u {
        second_half(s, u, unit, vec4(0.0));
        return;
    }
    let at = state_at(d, before(d, s.t), s.rows);
    var sums: Sums;
    if params.batch == 1u { sums = products_of_one(u, at.x); } else { sums = products(u, at); }
    first_half(s, u, unit, sums);
}
