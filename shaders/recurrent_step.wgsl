// One step of the chain plan for all directions: the recurrent product of all gates from one load of h, with the cell
// as its epilogue. Each invocation computes one unit of four rows. Equations: common/cell_*.
//
// Twin: src/kernels/recurrent_step.rs.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let d = id.z;
    let step = begin(d);
    if unit >= params.hidden || step >= end(d, 1u) { return; }
    let s = step_of(d, time_of(d, step), 4u * id.y);
    let u = packed_at(d, unit, depth());
    if HALVES == 2u && params.half == 1u {
        second_half(s, u, unit, second_sum(s, u, 0u, params.hidden));
        return;
    }
    let at = state_at(d, before(d, s.t), s.rows);
    first_half(s, u, unit, products_of_step(u, at, 0u, params.hidden));
}
