// Four rows of an LSTM, gates in PyTorch's order i, f, g, o:
//
//   v_g = x_g + U_g·h + d_g
//   i = σ(v_i)    f = σ(v_f)    g = tanh(v_g)    o = σ(v_o)    c' = f·c + i·g    h' = o·tanh(c')
//
// Twin: src/kernels/recurrent_step.rs.
const GATES: u32 = 4u;
const STATES: u32 = 2u;
const SAVED: u32 = 5u;  // i, f, g, o, tanh(c')

alias Gates = vec4<f32>;   // of one row
alias Sums = mat4x4<f32>;  // of four rows

fn gates(j: u32, k: u32) -> Gates {
    return Gates(weight(j, k), weight(j + BLOCK, k), weight(j + 2u * BLOCK, k), weight(j + 3u * BLOCK, k));
}

fn first_half(s: Step, u: u32, unit: u32, sums: Sums) -> vec4<f32> {
    let a = transpose(sums);
    let old = old_state(s, 0u, unit);
    let old_c = old_state(s, 1u, unit);
    let i = sigmoid4(input(s, 0u, unit) + product(u, a[0]));
    let f = sigmoid4(input(s, 1u, unit) + product(u + BLOCK, a[1]));
    let g = tanh4(input(s, 2u, unit) + product(u + 2u * BLOCK, a[2]));
    let o = sigmoid4(input(s, 3u, unit) + product(u + 3u * BLOCK, a[3]));
    let c = f * old_c + i * g;
    let out = tanh4(c);
    keep(s, 0u, unit, i);
    keep(s, 1u, unit, f);
    keep(s, 2u, unit, g);
    keep(s, 3u, unit, o);
    keep(s, 4u, unit, out);
    commit(s, 1u, unit, old_c, c);
    return commit(s, 0u, unit, old, o * out);
}
