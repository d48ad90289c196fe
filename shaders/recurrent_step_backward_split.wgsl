// recurrent_step_backward for few sequences, with the sums over k split as in recurrent_step_split.
//
// Twin: src/kernels/recurrent_step_backward.rs.
const PARTS: u32 = 16u;

var<workgroup> partial: array<vec4<f32>, 256>;  // [PARTS, BLOCK]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let h = params.hidden;
    let unit = BLOCK * group.x + lane % BLOCK;
    let row = 4u * group.y;
    let d = group.z;
    let rows = four(row);
    let u = packed_at(d, unit, h);
    let part = (h + 4u * PARTS - 1u) / (4u * PARTS) * 4u;
    let first = min(lane / BLOCK * part, h);
    let last = min(first + part, h);
    // Number of steps, counted in the order of the direction, up to the one whose gate gradients this half reads.
    let is_second = HALVES == 2u && params.half == 1u;
    let done = params.steps - params.step;
    if is_second {
        partial[lane] = second_sum(u, vectors_at(d, time_of(d, done - 1u), rows, GRADIENTS), first, last);
    } else if params.step > 0u {
        partial[lane] = product(u, vectors_at(d, time_of(d, done), rows, GRADIENTS), first, last);
    } else {
        partial[lane] = vec4(0.0);
    }
    workgroupBarrier();
    if lane >= BLOCK || unit >= h { return; }
    var sum = partial[lane];
    for (var i = 1u; i < PARTS; i += 3u) {
        sum += partial[i * BLOCK + lane];
        sum += partial[(i + 1u) * BLOCK + lane];
        sum += partial[(i + 2u) * BLOCK + lane];
    }
    if is_second {
        second_half(step_of(d, time_of(d, done - 1u), row), unit, sum);
        return;
    }
    let at = carry_at(d, rows, 0u, unit);
    let v = load_carry(at) + sum;
    if done == 0u {
        store_carry(at, v, min(4u, params.batch - row));
        return;
    }
    first_half(step_of(d, time_of(d, done - 1u), row), unit, v);
}
