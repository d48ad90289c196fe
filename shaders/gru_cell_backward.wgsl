// Gradients of a GRU cell: the whole cell (params.half = 0, reset after), or one of its two halves (reset before).
// Masked steps have gradient 0.
//
//   δn = dh̃·(1 − z)·f_n'    δz = dh̃·(h − n)·f_z'    carry += dh̃·z
//   reset after:   δr = δn·c·f_r'    δc = δn·r
//   reset before:  q = U_nᵀ·δn computed between the halves    δr = q·h·f_r'    q = q·r
//
// Twin: src/kernels/gru_cell_backward.rs.
@group(0) @binding(1) var<storage, read> marks: array<u32>;          // [T, B]
@group(0) @binding(2) var<storage, read> state: array<f32>;          // [D, T + 1, B, H], second half: U's input
@group(0) @binding(3) var<storage, read> saved: array<f32>;          // [D, T, B, 7H]
@group(0) @binding(4) var<storage, read> d_fresh: array<f32>;        // [D, B, H]
@group(0) @binding(5) var<storage, read_write> d_gates: array<f32>;  // [D, T, B, 4H]  δr, δz, δn, δc
@group(0) @binding(6) var<storage, read_write> carry: array<f32>;    // [2, D, B, H]
@group(0) @binding(7) var<storage, read_write> q: array<f32>;        // [D, B, H], used in the second half

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let h = params.hidden;
    if i >= params.directions * params.batch * h { return; }
    let d = i / h / params.batch;
    let row = i / h % params.batch;
    let unit = i % h;
    let t = time_of(d, params.steps - 1u - params.step);
    let at = ((d * params.steps + t) * params.batch + row) * params.gates_row + unit;
    if !has(marks[t * params.batch + row], VALID) {
        for (var gate = 0u; gate < 4u; gate++) { d_gates[at + gate * h] = 0.0; }
        return;
    }
    let s = saved_at(d, t, row) + unit;
    let old = state[state_at(d, before(d, t), row) + unit];
    let r = saved[s];
    if params.half == 2u {
        d_gates[at] = q[i] * old * saved[s + 4u * h];
        q[i] *= r;
        return;
    }
    let z = saved[s + h];
    let n = saved[s + 2u * h];
    let dn = d_fresh[i] * (1.0 - z) * saved[s + 6u * h];
    d_gates[at] = dn * saved[s + 3u * h] * saved[s + 4u * h];
    d_gates[at + h] = d_fresh[i] * (old - n) * saved[s + 5u * h];
    d_gates[at + 2u * h] = dn;
    d_gates[at + 3u * h] = dn * r;
    carry[i] += d_fresh[i] * z;
}
