// One backward step of the chain plan, for all directions. With p the step after t in forward order, whose gate
// gradients are already computed, and v the carry, initially the gradient of the last state:
//
//   dh = v + Σ_g U_gᵀ·δ_g[p] + dy[t]
//
// Then the gate gradients of t: common/cell_*_backward. A masked step passes dh on. A reset passes dh to the first
// state, or drops it (marks). At step = steps, after all others, only v + Σ is computed, which is dh0.
// Twin: src/kernels/recurrent_step_backward.rs.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let unit = id.x;
    let row = 4u * id.y;
    let d = id.z;
    if unit >= params.hidden { return; }
    let rows = four(row);
    let u = packed_at(d, unit, params.hidden);
    if HALVES == 2u && params.half == 1u {
        let s = step_of(d, time_of(d, params.steps - 1u - params.step), row);
        second_half(s, unit, second_sum(u, vectors_at(d, s.t, rows, GRADIENTS), 0u, params.hidden));
        return;
    }
    let at = carry_at(d, rows, 0u, unit);
    var v = load_carry(at);
    if params.step > 0u {
        let done = time_of(d, params.steps - params.step);
        v += product(u, vectors_at(d, done, rows, GRADIENTS), 0u, params.hidden);
    }
    if params.step == params.steps {
        store_carry(at, v, min(4u, params.batch - row));
        return;
    }
    first_half(step_of(d, time_of(d, params.steps - 1u - params.step), row), unit, v);
}
