// Second half of a step of the chain plan, reset before the product: the candidate and the new state.
//
//   n = tanh(x_n + U_n·c + d_n)    h' = n + z·(h − n)    a masked step keeps h and outputs 0
//
// Each invocation computes one unit of four rows. `packed` is binding 2 of common/weights_*.
// Twin: src/kernels/gru_candidate.rs.
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [D, T, B, 3H]
@group(0) @binding(3) var<storage, read> marks: array<u32>;         // [T, B]
@group(0) @binding(4) var<storage, read_write> state: array<f32>;   // [D, T + 1, B, H]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;   // [D, T, B, 4H]  reads z and c, writes n

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let h = params.hidden;
    let unit = id.x;
    let row = 4u * id.y;
    let d = id.z;
    let step = begin(d);
    if unit >= h || step >= end(d, 1u) { return; }
    let t = time_of(d, step);
    let rows = four(row);
    let source = state_at(d, before(d, t), rows) + unit;
    let at_saved = gates_at(d, t, rows, 4u);
    let kept = at_saved + 3u * h;
    let u = packed_at(d, unit, depth()) + 2u * BLOCK;

    var c = vec4(0.0);
    for (var k = 0u; k < h; k += IN_WORD) {
        let w = weights(u + k / IN_WORD * LANES);
        for (var i = 0u; i < IN_WORD; i++) {
            let at = kept + within(k + i);
            c += w[i] * known(k + i, vec4(saved[at.x], saved[at.y], saved[at.z], saved[at.w]));
        }
    }
    c = product(u, c);

    let at_x = gates_at(d, t, rows, 3u) + 2u * h + unit;
    let at_y = output_at(d, t, rows) + unit;
    let dest = state_at(d, after(d, t), rows) + unit;
    let start = state_at(d, before(d, time_of(d, 0u)), rows);
    for (var i = 0u; i < min(4u, params.batch - row); i++) {
        let n = tanh_stable(x[at_x[i]] + c[i]);
        let z = saved[at_saved[i] + h + unit];
        let old = state[source[i]];
        let mark = marks[t * params.batch + row + i];
        let fresh = select(old, n + z * (old - n), has(mark, VALID));
        let first = select(0.0, state[start[i] + unit], has(mark, TO_FIRST));
        y[at_y[i]] = select(0.0, fresh, has(mark, VALID | repeat_bit(d)));
        state[dest[i]] = select(fresh, first, has(mark, reset_bit(d)));
        saved[at_saved[i] + 2u * h + unit] = n;
    }
}
