// Four rows of a GRU, reset before the product. A step has two halves, because the second product needs the first of
// all units:
//
//   r = σ(x_r + U_r·h + d_r)    z = σ(x_z + U_z·h + d_z)    c = r·h
//   n = tanh(x_n + U_n·c + d_n)    h' = n + z·(h − n)
//
// Requires `reset_state(s, k)`, which is c[k] of the four rows, and `put_update` and `update_gate`, which pass z from
// half to half: common/halves_*. The sums of both halves pass between lanes as `Sums`. Twin: src/kernels/recurrent_step.rs.
const GATES: u32 = 3u;
const STATES: u32 = 1u;
const SAVED: u32 = 4u;  // r, z, n, c
const HALVES: u32 = 2u;

alias Gates = vec2<f32>;   // r and z of one row
alias Sums = mat4x2<f32>;  // of four rows

fn gates(j: u32, k: u32) -> Gates { return Gates(weight(j, k), weight(j + BLOCK, k)); }

fn first_half(s: Step, u: u32, unit: u32, sums: Sums) -> vec4<f32> {
    let a = transpose(sums);
    let old = old_state(s, 0u, unit);
    let r = sigmoid4(input(s, 0u, unit) + product(u, a[0]));
    let z = sigmoid4(input(s, 1u, unit) + product(u + BLOCK, a[1]));
    keep(s, 0u, unit, r);
    keep(s, 3u, unit, r * old);
    put_update(s, unit, z);
    return r * old;
}

// U_n·c, for k from `first` to below `last`.
fn second_sum(s: Step, u: u32, first: u32, last: u32) -> vec4<f32> {
    let n = u + 2u * BLOCK;
    var sum = vec4(0.0);
    var k = first;
    for (; k + 4u <= last; k += 4u) {
        let j = n + k / IN_WORD * ROW;
        sum += weight(j, 0u) * reset_state(s, k);
        sum += weight(j + 1u / IN_WORD * ROW, 1u) * reset_state(s, k + 1u);
        sum += weight(j + 2u / IN_WORD * ROW, 2u) * reset_state(s, k + 2u);
        sum += weight(j + 3u / IN_WORD * ROW, 3u) * reset_state(s, k + 3u);
    }
    for (; k < last; k++) { sum += weight(n + k / IN_WORD * ROW, k) * reset_state(s, k); }
    return sum;
}

fn to_sums(v: vec4<f32>) -> Sums { return Sums(v.xy, v.zw, vec2(0.0), vec2(0.0)); }
fn from_sums(sums: Sums) -> vec4<f32> { return vec4(sums[0], sums[1]); }

fn second_half(s: Step, u: u32, unit: u32, sum: vec4<f32>) -> vec4<f32> {
    let old = old_state(s, 0u, unit);
    let z = update_gate(s, unit);
    let n = tanh4(input(s, 2u, unit) + product(u + 2u * BLOCK, sum));
    keep(s, 2u, unit, n);
    return commit(s, 0u, unit, old, n + z * (old - n));
}
