// Σ U[k]·v[k] of four rows for all gates of a unit, for k from `first` to below `last`. A pass of the loop covers four k without a branch, so
// that compilers for GPUs move all its loads ahead of the sums and wait for memory once. Loading everything first in
// the source would change nothing there, but would exceed the registers of software adapters.
//
// Requires `value(at, k)`, which is v[k] of the four rows, a cell, and common/weights_*.
fn products(u: u32, at: vec4<u32>, first: u32, last: u32) -> Sums {
    var a = Gates();
    var b = Gates();
    var c = Gates();
    var d = Gates();
    var k = first;
    for (; k + 4u <= last; k += 4u) {
        let j = u + k / IN_WORD * ROW;
        let w0 = gates(j, 0u);
        let v0 = value(at, k);
        a += w0 * v0.x;
        b += w0 * v0.y;
        c += w0 * v0.z;
        d += w0 * v0.w;
        let w1 = gates(j + 1u / IN_WORD * ROW, 1u);
        let v1 = value(at, k + 1u);
        a += w1 * v1.x;
        b += w1 * v1.y;
        c += w1 * v1.z;
        d += w1 * v1.w;
        let w2 = gates(j + 2u / IN_WORD * ROW, 2u);
        let v2 = value(at, k + 2u);
        a += w2 * v2.x;
        b += w2 * v2.y;
        c += w2 * v2.z;
        d += w2 * v2.w;
        let w3 = gates(j + 3u / IN_WORD * ROW, 3u);
        let v3 = value(at, k + 3u);
        a += w3 * v3.x;
        b += w3 * v3.y;
        c += w3 * v3.z;
        d += w3 * v3.w;
    }
    for (; k < last; k++) {
        let w = gates(u + k / IN_WORD * ROW, k);
        let v = value(at, k);
        a += w * v.x;
        b += w * v.y;
        c += w * v.z;
        d += w * v.w;
    }
    return Sums(a, b, c, d);
}
