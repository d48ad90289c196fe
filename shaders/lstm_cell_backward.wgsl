// Gradients of an LSTM cell; 0 on masked steps. With dm the gradient of m = o·s:
//
//   δo = dm·s·f_o'    dc = dc̃ + dm·o·f_h' + δo·p_o
//   δi = dc·g·f_i'    δf = dc·c·f_f'    δg = dc·i·f_g'    carry_c += dc·f + δi·p_i + δf·p_f
//   coupled:  δi = dc·(g − c)·f_i'    δf = 0
//   with peepholes, d_gates also holds δi·c, δf·c, δo·c̃, whose sums are the gradients of p
//
// Twin: src/kernels/lstm_cell_backward.rs.
@group(0) @binding(1) var<storage, read> marks: array<u32>;          // [T, B]
@group(0) @binding(2) var<storage, read> state: array<f32>;          // [D, T + 1, B, width]
@group(0) @binding(3) var<storage, read> saved: array<f32>;          // [D, T, B, 11H]
@group(0) @binding(4) var<storage, read> peephole: array<f32>;       // [D, 3, H]; unread without peepholes
@group(0) @binding(5) var<storage, read> d_fresh: array<f32>;        // [D, B, width]
@group(0) @binding(6) var<storage, read> d_out: array<f32>;          // [D, B, d_out_row]  dm
@group(0) @binding(7) var<storage, read_write> d_gates: array<f32>;  // [D, T, B, 4H or 7H]  δi, δf, δg, δo
@group(0) @binding(8) var<storage, read_write> carry: array<f32>;    // [2, D, B, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let j = linear(id);
    let h = params.hidden;
    if j >= params.directions * params.batch * h { return; }
    let d = j / h / params.batch;
    let row = j / h % params.batch;
    let unit = j % h;
    let t = time_of(d, params.steps - 1u - params.step);
    let at = ((d * params.steps + t) * params.batch + row) * params.gates_row + unit;
    if !has(marks[t * params.batch + row], VALID) {
        let parts = select(4u, 7u, params.peephole == 1u);
        for (var part = 0u; part < parts; part++) { d_gates[at + part * h] = 0.0; }
        return;
    }
    let s = saved_at(d, t, row) + unit;
    let old = state[state_at(d, before(d, t), row) + params.out + unit];
    let i = saved[s];
    let f = saved[s + h];
    let g = saved[s + 2u * h];
    let at_c = (d * params.batch + row) * params.width + params.out + unit;
    let p = d * 3u * h + unit;

    let dm = d_out[(d * params.batch + row) * params.d_out_row + unit];
    let d_o = dm * saved[s + 4u * h] * saved[s + 8u * h];
    var dc = d_fresh[at_c] + dm * saved[s + 3u * h] * saved[s + 9u * h];
    if params.peephole == 1u { dc += d_o * peephole[p + 2u * h]; }
    let di = dc * select(g, g - old, params.coupled == 1u) * saved[s + 5u * h];
    let df = select(dc * old * saved[s + 6u * h], 0.0, params.coupled == 1u);
    d_gates[at] = di;
    d_gates[at + h] = df;
    d_gates[at + 2u * h] = dc * i * saved[s + 7u * h];
    d_gates[at + 3u * h] = d_o;
    var back = dc * f;
    if params.peephole == 1u {
        back += di * peephole[p] + df * peephole[p + h];
        d_gates[at + 4u * h] = di * old;
        d_gates[at + 5u * h] = df * old;
        d_gates[at + 6u * h] = d_o * (f * old + i * g);
    }
    carry[at_c] += back;
}
