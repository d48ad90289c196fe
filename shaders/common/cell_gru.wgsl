// Four rows of a GRU, reset after the product, gates in PyTorch's order r, z, n:
//
//   r = σ(x_r + U_r·h + d_r)    z = σ(x_z + U_z·h + d_z)    c = U_n·h + d_n    n = tanh(x_n + r·c)
//   h' = n + z·(h − n)
//
// Twin: src/kernels/recurrent_step.rs.
const GATES: u32 = 3u;
const STATES: u32 = 1u;
const SAVED: u32 = 4u;  // r, z, n, c

alias Gates = vec3<f32>;   // of one row
alias Sums = mat4x3<f32>;  // of four rows

fn gates(j: u32, k: u32) -> Gates {
    return Gates(weight(j, k), weight(j + BLOCK, k), weight(j + 2u * BLOCK, k));
}

fn first_half(s: Step, u: u32, unit: u32, sums: Sums) -> vec4<f32> {
    let a = transpose(sums);
    let x_n = input(s, 2u, unit);
    let old = old_state(s, 0u, unit);
    let r = sigmoid4(input(s, 0u, unit) + product(u, a[0]));
    let z = sigmoid4(input(s, 1u, unit) + product(u + BLOCK, a[1]));
    let c = product(u + 2u * BLOCK, a[2]);
    let n = tanh4(x_n + r * c);
    keep(s, 0u, unit, r);
    keep(s, 1u, unit, z);
    keep(s, 2u, unit, n);
    keep(s, 3u, unit, c);
    return commit(s, 0u, unit, old, n + z * (old - n));
}
