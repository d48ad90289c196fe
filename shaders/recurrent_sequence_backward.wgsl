// Backward pass of recurrent_sequence in one dispatch. A workgroup owns four rows of one direction and loops over the
// steps, with the gate gradients of the current step in workgroup memory. Equations: common/cell_*_backward.
//
// Twin: src/kernels/recurrent_sequence_backward.rs.
var<workgroup> gradients: array<vec4<f32>, 1024>;  // [GRADIENTS·H] of four rows

fn delta(at: vec4<u32>, part: u32, k: u32) -> vec4<f32> { return gradients[part * params.hidden + k]; }

// Stores the gradients of a gate, 0 in rows where the step is masked.
fn store_gate(s: Step, part: u32, unit: u32, v: vec4<f32>) {
    let g = select(vec4(0.0), v, s.is_valid);
    let offset = part * params.hidden + unit;
    let at = vectors_at(s.d, s.t, s.rows, GRADIENTS) + offset;
    for (var i = 0u; i < s.count; i++) { d_gates[at[i]] = g[i]; }
    gradients[offset] = g;
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let h = params.hidden;
    let row = 4u * group.x;
    let d = group.y;
    let rows = four(row);
    for (var step = end(d, params.count); step > begin(d); step--) {
        let s = step_of(d, time_of(d, step - 1u), row);
        for (var unit = lane; unit < h; unit += 128u) {
            first_half(s, unit, load_carry(carry_at(d, rows, 0u, unit)));
        }
        workgroupBarrier();
        if HALVES == 2u {
            for (var unit = lane; unit < h; unit += 128u) {
                second_half(s, unit, second_sum(packed_at(d, unit, h), rows, 0u, h));
            }
            workgroupBarrier();
        }
        for (var unit = lane; unit < h; unit += 128u) {
            let at = carry_at(d, rows, 0u, unit);
            store_carry(at, load_carry(at) + product(packed_at(d, unit, h), rows, 0u, h), s.count);
        }
        workgroupBarrier();
    }
}
