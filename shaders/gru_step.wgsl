// One step of the chain plan, reset after the product, for all directions. Computes the recurrent product of all three
// gates from one load of h, with the gate update as its epilogue.
//
//   r = σ(x_r + U_r·h + d_r)    z = σ(x_z + U_z·h + d_z)    c = U_n·h + d_n    n = tanh(x_n + r·c)
//   h' = n + z·(h − n)          a masked step keeps h and outputs y = 0 (marks)
//
// Each invocation computes one unit of four rows. `packed` is binding 2 of common/weights_*.
// Twin: src/kernels/gru_step.rs.
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [D, T, B, 3H]
@group(0) @binding(3) var<storage, read> marks: array<u32>;         // [T, B]
@group(0) @binding(4) var<storage, read_write> state: array<f32>;   // [D, T + 1, B, H]
@group(0) @binding(5) var<storage, read_write> y: array<f32>;       // [T, B, D·H]
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;   // [D, T, B, 4H] when params.save is 1

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
    let source = state_at(d, before(d, t), rows);
    let u = packed_at(d, unit, depth());

    var r = vec4(0.0);
    var z = vec4(0.0);
    var c = vec4(0.0);
    // For a batch of one, loads each value once instead of four times.
    if params.batch == 1u {
        for (var k = 0u; k < h; k += IN_WORD) {
            let j = u + k / IN_WORD * LANES;
            let wr = weights(j);
            let wz = weights(j + BLOCK);
            let wc = weights(j + 2u * BLOCK);
            for (var i = 0u; i < IN_WORD; i++) {
                let v = known(k + i, vec4(state[source.x + within(k + i)])).x;
                r.x += wr[i] * v;
                z.x += wz[i] * v;
                c.x += wc[i] * v;
            }
        }
    } else {
        for (var k = 0u; k < h; k += IN_WORD) {
            let j = u + k / IN_WORD * LANES;
            let wr = weights(j);
            let wz = weights(j + BLOCK);
            let wc = weights(j + 2u * BLOCK);
            for (var i = 0u; i < IN_WORD; i++) {
                let at = source + within(k + i);
                let v = known(k + i, vec4(state[at.x], state[at.y], state[at.z], state[at.w]));
                r += wr[i] * v;
                z += wz[i] * v;
                c += wc[i] * v;
            }
        }
    }
    r = product(u, r);
    z = product(u + BLOCK, z);
    c = product(u + 2u * BLOCK, c);

    let at_x = gates_at(d, t, rows, 3u) + unit;
    let at_saved = gates_at(d, t, rows, 4u) + unit;
    let at_y = output_at(d, t, rows) + unit;
    let dest = state_at(d, after(d, t), rows) + unit;
    let start = state_at(d, before(d, time_of(d, 0u)), rows);
    for (var i = 0u; i < min(4u, params.batch - row); i++) {
        let ri = sigmoid(x[at_x[i]] + r[i]);
        let zi = sigmoid(x[at_x[i] + h] + z[i]);
        let n = tanh_stable(x[at_x[i] + 2u * h] + ri * c[i]);
        let old = state[source[i] + unit];
        let mark = marks[t * params.batch + row + i];
        let fresh = select(old, n + zi * (old - n), has(mark, VALID));
        let first = select(0.0, state[start[i] + unit], has(mark, TO_FIRST));
        y[at_y[i]] = select(0.0, fresh, has(mark, VALID | repeat_bit(d)));
        state[dest[i]] = select(fresh, first, has(mark, reset_bit(d)));
        if params.save == 1u {
            saved[at_saved[i]] = ri;
            saved[at_saved[i] + h] = zi;
            saved[at_saved[i] + 2u * h] = n;
            saved[at_saved[i] + 3u * h] = c[i];
        }
    }
}
