// recurrent_step for few sequences: a workgroup computes 16 units of four rows. Each of its 16 groups of 16 lanes sums
// a part of k, so that a lane waits for memory a sixteenth as often. The sums of the parts are added in order.
//
// Twin: src/kernels/recurrent_step.rs.
const PARTS: u32 = 16u;

var<workgroup> partial: array<Sums, 256>;  // [PARTS, BLOCK]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let unit = BLOCK * group.x + lane % BLOCK;
    let d = group.z;
    let step = begin(d);
    if step >= end(d, 1u) { return; }
    let s = step_of(d, time_of(d, step), 4u * group.y);
    let u = packed_at(d, unit, depth());  // blocks are whole, so this is in range for units past the last one too
    let part = (params.hidden + 4u * PARTS - 1u) / (4u * PARTS) * 4u;
    let first = min(lane / BLOCK * part, params.hidden);
    let last = min(first + part, params.hidden);
    let is_second = HALVES == 2u && params.half == 1u;
    var sums: Sums;
    if is_second {
        sums = to_sums(second_sum(s, u, first, last));
    } else {
        sums = products_of_step(u, state_at(d, before(d, s.t), s.rows), first, last);
    }
    partial[lane] = sums;
    workgroupBarrier();
    if lane >= BLOCK || unit >= params.hidden { return; }
    for (var i = 1u; i < PARTS; i += 3u) {
        sums += partial[i * BLOCK + lane];
        sums += partial[(i + 1u) * BLOCK + lane];
        sums += partial[(i + 2u) * BLOCK + lane];
    }
    if is_second { second_half(s, u, unit, from_sums(sums)); } else { first_half(s, u, unit, sums); }
}
