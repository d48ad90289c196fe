// Backward pass of the state update. With v the carry (initially dh_n), q the recurrent product's part of dh from the
// step after t in forward order, m its dropout mask and k the weight of the fresh value under zoneout:
//
//   dh = v + m·q + dy    dh̃ = k·dh    v = (1 − k)·dh
//
// A masked step passes dh on. A reset passes it to the initial state, or drops it (marks). At step = steps, only v +
// m·q is computed. Twin: src/kernels/state_update_backward.rs.
@group(0) @binding(1) var<storage, read> marks: array<u32>;          // [T, B]
@group(0) @binding(2) var<storage, read> dy: array<f32>;             // [T, B, D·out]
@group(0) @binding(3) var<storage, read> q: array<f32>;              // [D, B, out], unread at step 0
@group(0) @binding(4) var<storage, read_write> d_fresh: array<f32>;  // [D, B, width]
@group(0) @binding(5) var<storage, read_write> carry: array<f32>;    // [2, D, B, width]  v; resets' share of dh0

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let width = params.width;
    let all = params.directions * params.batch * width;
    if i >= all { return; }
    let d = i / width / params.batch;
    let row = i / width % params.batch;
    let j = i % width;

    var g = carry[i];
    if params.step > 0u && j < params.out {
        let at = (d * params.batch + row) * params.out + j;
        g += masked(q[at], through(at));
    }
    if params.step == params.steps {
        carry[i] = g;
        return;
    }
    let t = time_of(d, params.steps - 1u - params.step);
    let mark = marks[t * params.batch + row];
    if has(mark, reset_bit(d)) {
        if has(mark, TO_FIRST) { carry[all + i] += g; }
        g = 0.0;
    }
    if j < params.out && has(mark, VALID | repeat_bit(d)) {
        g += dy[((t * params.batch + row) * params.directions + d) * params.out + j];
    }
    if !has(mark, VALID) {
        carry[i] = g;
        d_fresh[i] = 0.0;
        return;
    }
    let k = keep(((d * params.steps + t) * params.batch + row) * width + j, j);
    carry[i] = select((1.0 - k) * g, 0.0, k == 1.0);
    d_fresh[i] = masked(g, k);
}
