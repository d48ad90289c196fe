// LSTM cell after its recurrent product, gates in PyTorch's order i, f, g, o. Each gate has its own activation, and
// every pre-activation is clipped. p are the peephole weights, 0 if there are none; coupled means f = 1 − i.
//
//   i = f_i(x_i + a_i + p_i·c)    f = f_f(x_f + a_f + p_f·c)    g = f_g(x_g + a_g)    c̃ = f·c + i·g
//   o = f_o(x_o + a_o + p_o·c̃)    s = f_h(c̃)    m = o·s
//
// Without a projection h̃ = m. With one, m is the last part of `saved`, and a separate product computes h̃ from it.
// Twin: src/kernels/lstm_cell.rs.
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [D, T, B, 4H]
@group(0) @binding(2) var<storage, read> rec: array<f32>;          // [D, B, 4H]  a
@group(0) @binding(3) var<storage, read> state: array<f32>;        // [D, T + 1, B, width]  h, then c
@group(0) @binding(4) var<storage, read> peephole: array<f32>;     // [D, 3, H] of i, f, o; unread without peepholes
@group(0) @binding(5) var<storage, read_write> fresh: array<f32>;  // [D, B, width]
@group(0) @binding(6) var<storage, read_write> saved: array<f32>;  // [D, T, B, 11H]  i, f, g, o, s, their slopes (if params.save = 1), m

fn keep(at: u32, part: u32, v: f32, y: f32) {
    saved[at + part * params.hidden] = y;
    saved[at + (part + 5u) * params.hidden] = gate_slope(part, v, y);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let j = linear(id);
    let h = params.hidden;
    if j >= params.directions * params.batch * h { return; }
    let d = j / h / params.batch;
    let row = j / h % params.batch;
    let unit = j % h;
    let t = time_of(d, params.step);
    let at = saved_at(d, t, row) + unit;
    let at_x = ((d * params.steps + t) * params.batch + row) * 4u * h + unit;
    let at_a = (d * params.batch + row) * 4u * h + unit;
    let old = state[state_at(d, before(d, t), row) + params.out + unit];
    let p = d * 3u * h + unit;

    var vi = x[at_x] + rec[at_a];
    var vf = x[at_x + h] + rec[at_a + h];
    if params.peephole == 1u {
        vi += peephole[p] * old;
        vf += peephole[p + h] * old;
    }
    let vg = x[at_x + 2u * h] + rec[at_a + 2u * h];
    let i = gate(0u, clipped(vi));
    let f = select(gate(1u, clipped(vf)), 1.0 - i, params.coupled == 1u);
    let g = gate(2u, clipped(vg));
    let c = f * old + i * g;
    var vo = x[at_x + 3u * h] + rec[at_a + 3u * h];
    if params.peephole == 1u { vo += peephole[p + 2u * h] * c; }
    let o = gate(3u, clipped(vo));
    let s = activate(params.out_kind, params.out_alpha, params.out_beta, c);
    if params.save == 1u {
        keep(at, 0u, vi, i);
        keep(at, 1u, vf, f);
        keep(at, 2u, vg, g);
        keep(at, 3u, vo, o);
        saved[at + 4u * h] = s;
        saved[at + 9u * h] = slope(params.out_kind, params.out_alpha, params.out_beta, c, s);
    }
    saved[at + 10u * h] = o * s;

    let to = (d * params.batch + row) * params.width;
    fresh[to + params.out + unit] = c;
    if params.out == h { fresh[to + unit] = o * s; }
}
