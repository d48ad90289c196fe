// recurrent_sequence with up to four lanes per unit, each of which sums a part of k, so that a lane waits for memory half
// or a quarter as often. The sums of the parts are added in order. Up to 64 units, or 128 with most
// low-precision weights, the lanes hold their weights in registers.
//
// Requires `share` of common/halves_split or one_half, and common/sums_read or _held. Twin: src/kernels/recurrent_sequence.rs.
var<workgroup> h_now: array<vec4<f32>, 256>;  // h of four rows
var<workgroup> partial: array<Sums, 192>;     // [parts - 1, width]

fn value(at: vec4<u32>, k: u32) -> vec4<f32> { return h_now[k]; }

// Adds the sums of all parts in the lanes of part 0.
fn total(sums: Sums, lane: u32, width: u32) -> Sums {
    if lane >= width { partial[lane - width] = sums; }
    workgroupBarrier();
    var all = sums;
    if lane < width {
        for (var at = lane; at < 256u - width; at += width) { all += partial[at]; }
    }
    return all;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let h = params.hidden;
    let row = 4u * group.x;
    let d = group.y;
    let begins = begin(d);
    // At the end, this is the slot after the last step, whose value is never used.
    let slot = select(params.steps, before(d, time_of(d, begins)), begins < params.steps);
    let start = state_at(d, slot, four(row));
    // Held weights past the last are 0, so what they are multiplied by must be finite.
    h_now[lane] = vec4(0.0);
    if HALVES == 2u { share(lane, vec4(0.0)); }
    if lane < h { h_now[lane] = load_state(start + lane); }
    workgroupBarrier();

    let width = width_of_units();
    let unit = lane % width;
    let u = packed_at(d, min(unit, h - 1u), depth());
    let first = min(lane / width * (width * width / 256u), h);
    let last = min(first + width * width / 256u, h);
    let is_owner = lane < min(width, h);
    hold(u, first);
    for (var step = begins; step < end(d, params.count); step++) {
        let s = step_of(d, time_of(d, step), row);
        let sums = total(sum_of_part(u, start, first, last), lane, width);
        var next = vec4(0.0);
        if is_owner { next = first_half(s, u, unit, sums); }
        if HALVES == 2u {
            if is_owner { share(unit, next); }
            workgroupBarrier();
            let again = total(to_sums(second_sum_of_part(s, u, first, last)), lane, width);
            if is_owner { next = second_half(s, u, unit, from_sums(again)); }
        }
        if is_owner { h_now[unit] = next; }
        workgroupBarrier();
    }
}
