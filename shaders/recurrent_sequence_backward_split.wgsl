// recurrent_sequence_backward with up to four lanes per unit, as in recurrent_sequence_split.
//
// Twin: src/kernels/recurrent_sequence_backward.rs.
// [GRADIENTS·H] of four rows. From 768 on, the sums of the parts but the first, if there are at most 128 units.
var<workgroup> gradients: array<vec4<f32>, 1024>;

fn delta(at: vec4<u32>, part: u32, k: u32) -> vec4<f32> { return gradients[part * params.hidden + k]; }

// Stores the gradients of a gate, 0 in rows where the step is masked.
fn store_gate(s: Step, part: u32, unit: u32, v: vec4<f32>) {
    let g = select(vec4(0.0), v, s.is_valid);
    let offset = part * params.hidden + unit;
    let at = vectors_at(s.d, s.t, s.rows, GRADIENTS) + offset;
    for (var i = 0u; i < s.count; i++) { d_gates[at[i]] = g[i]; }
    gradients[offset] = g;
}

// Adds the sums of all parts in the lanes of part 0.
fn total(sum: vec4<f32>, lane: u32, width: u32) -> vec4<f32> {
    if lane >= width { gradients[768u + lane - width] = sum; }
    workgroupBarrier();
    var all = sum;
    if lane < width {
        for (var at = 768u + lane; at < 1024u - width; at += width) { all += gradients[at]; }
    }
    return all;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let h = params.hidden;
    let row = 4u * group.x;
    let d = group.y;
    let rows = four(row);
    let width = width_of_units();
    let unit = lane % width;
    let u = packed_at(d, min(unit, h - 1u), h);
    let first = min(lane / width * (width * width / 256u), h);
    let last = min(first + width * width / 256u, h);
    let is_owner = lane < min(width, h);
    let at = carry_at(d, rows, 0u, unit);
    for (var step = end(d, params.count); step > begin(d); step--) {
        let s = step_of(d, time_of(d, step - 1u), row);
        if is_owner { first_half(s, unit, load_carry(at)); }
        workgroupBarrier();
        if HALVES == 2u {
            let q = total(second_sum(u, rows, first, last), lane, width);
            if is_owner { second_half(s, unit, q); }
            workgroupBarrier();
        }
        let sum = total(product(u, rows, first, last), lane, width);
        if is_owner { store_carry(at, load_carry(at) + sum, s.count); }
        workgroupBarrier();
    }
}
