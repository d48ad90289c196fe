// Σ U[k]·v[k] of four rows for all gates of a unit, for k from `first` to below `last`. A pass of the loop covers four k
// without a branch, so that compilers for GPUs move all its loads ahead of the sums and wait for memory once. Loading
// everything first in the source would change nothing there, but would exceed the registers of software adapters.
//
// Requires `value(at, k)`, which is v[k] of the four rows, a cell, and common/weights_*.
fn products(u: u32, at: vec4<u32>, first: u32, last: u32) -> Sums {
    var sums = Sums();
    var k = first;
    for (; k + 4u <= last; k += 4u) { add_four(&sums, u + k / IN_WORD * ROW, at, k); }
    for (; k < last; k++) { add(&sums, gates(u + k / IN_WORD * ROW, k), value(at, k)); }
    return sums;
}

// Adds the terms of four k, whose first weight is `j`.
fn add_four(sums: ptr<function, Sums>, j: u32, at: vec4<u32>, k: u32) {
    add(sums, gates(j, 0u), value(at, k));
    add(sums, gates(j + 1u / IN_WORD * ROW, 1u), value(at, k + 1u));
    add(sums, gates(j + 2u / IN_WORD * ROW, 2u), value(at, k + 2u));
    add(sums, gates(j + 3u / IN_WORD * ROW, 3u), value(at, k + 3u));
}

fn add(sums: ptr<function, Sums>, w: Gates, v: vec4<f32>) {
    (*sums)[0] += w * v.x;
    (*sums)[1] += w * v.y;
    (*sums)[2] += w * v.z;
    (*sums)[3] += w * v.w;
}
