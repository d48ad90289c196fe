// Second half of a backward step of the chain plan, reset before the product:
//
//   q = U_nᵀ·δn    δr = q·h·r·(1 − r)    v = v + q·r
//
// Twin: src/kernels/gru_reset_backward.rs.
@group(0) @binding(1) var<storage, read> packed: array<f32>;          // [D, blocks, H, 3, 16]  transposed
@group(0) @binding(2) var<storage, read> marks: array<u32>;           // [T, B]
@group(0) @binding(3) var<storage, read> state: array<f32>;           // [D, T + 1, B, H]
@group(0) @binding(4) var<storage, read> saved: array<f32>;           // [D, T, B, 4H]
@group(0) @binding(5) var<storage, read_write> d_gates: array<f32>;   // [D, T, B, 4H]
@group(0) @binding(6) var<storage, read_write> carry: array<f32>;     // [2, D, B, H]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let h = params.hidden;
    let unit = id.x;
    let row = 4u * id.y;
    let d = id.z;
    if unit >= h { return; }
    let rows = four(row);
    let t = time_of(d, params.steps - 1u - params.step);
    let at = gates_at(d, t, rows, 4u);
    let u = packed_at(d, unit, h) + 2u * BLOCK;

    var q = vec4(0.0);
    for (var k = 0u; k < h; k++) {
        let n = at + 2u * h + k;
        q += packed[u + k * LANES] * vec4(d_gates[n.x], d_gates[n.y], d_gates[n.z], d_gates[n.w]);
    }

    for (var i = 0u; i < min(4u, params.batch - row); i++) {
        if !has(marks[t * params.batch + row + i], VALID) { continue; }
        let r = saved[at[i] + unit];
        let old = state[state_at(d, before(d, t), rows)[i] + unit];
        d_gates[at[i] + unit] = q[i] * old * r * (1.0 - r);
        carry[(d * params.batch + row + i) * h + unit] += q[i] * r;
    }
}
