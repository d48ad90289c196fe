// Recurrent layer over the whole sequence in one dispatch. A workgroup owns four rows of one direction and loops over
// the steps, with h in workgroup memory. Equations: common/cell_*.
//
// Twin: src/kernels/recurrent_sequence.rs.
var<workgroup> h_now: array<vec4<f32>, 256>;   // h of four rows
var<workgroup> passed: array<vec4<f32>, 256>;  // result of the first half of the step

fn value(at: vec4<u32>, k: u32) -> vec4<f32> { return h_now[k]; }

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let h = params.hidden;
    let row = 4u * group.x;
    let d = group.y;
    let first = begin(d);
    // At the end, this is the slot after the last step, whose value is never used.
    let slot = select(params.steps, before(d, time_of(d, first)), first < params.steps);
    let start = state_at(d, slot, four(row));
    for (var unit = lane; unit < h; unit += 128u) { h_now[unit] = load_state(start + unit); }
    workgroupBarrier();

    for (var step = first; step < end(d, params.count); step++) {
        let s = step_of(d, time_of(d, step), row);
        for (var unit = lane; unit < h; unit += 128u) {
            let u = packed_at(d, unit, depth());
            passed[unit] = first_half(s, u, unit, products(u, start, 0u, h));
        }
        workgroupBarrier();
        for (var unit = lane; unit < h; unit += 128u) {
            var next = passed[unit];
            if HALVES == 2u {
                let u = packed_at(d, unit, depth());
                next = second_half(s, u, unit, second_sum(s, u, 0u, h));
            }
            h_now[unit] = next;
        }
        workgroupBarrier();
    }
}
