// First half of a step of the chain plan, reset before the product: the two gates and the reset state.
//
//   r = σ(x_r + U_r·h + d_r)    z = σ(x_z + U_z·h + d_z)    c = r·h
//
// Each invocation computes one unit of four rows. `packed` is binding 2 of common/weights_*.
// Twin: src/kernels/gru_gates.rs.
@group(0) @binding(1) var<storage, read> x: array<f32>;             // [D, T, B, 3H]
@group(0) @binding(3) var<storage, read> state: array<f32>;         // [D, T + 1, B, H]
@group(0) @binding(4) var<storage, read_write> saved: array<f32>;   // [D, T, B, 4H]

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
    for (var k = 0u; k < h; k += IN_WORD) {
        let j = u + k / IN_WORD * LANES;
        let wr = weights(j);
        let wz = weights(j + BLOCK);
        for (var i = 0u; i < IN_WORD; i++) {
            let at = source + within(k + i);
            let v = known(k + i, vec4(state[at.x], state[at.y], state[at.z], state[at.w]));
            r += wr[i] * v;
            z += wz[i] * v;
        }
    }
    r = product(u, r);
    z = product(u + BLOCK, z);

    let at_x = gates_at(d, t, rows, 3u) + unit;
    let at_saved = gates_at(d, t, rows, 4u) + unit;
    for (var i = 0u; i < min(4u, params.batch - row); i++) {
        let ri = sigmoid(x[at_x[i]] + r[i]);
        saved[at_saved[i]] = ri;
        saved[at_saved[i] + h] = sigmoid(x[at_x[i] + h] + z[i]);
        saved[at_saved[i] + 3u * h] = ri * state[source[i] + unit];
    }
}
