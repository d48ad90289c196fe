// Σ_g Σ U_gᵀ[k]·δ_g[k] of four rows for a unit, for k from `first` to below `last`, unrolled as in common/products.
//
// Requires a cell, which calls `delta(at, part, k)`: value k of vector `part` of the gate gradients of the four rows.
fn product(u: u32, at: vec4<u32>, first: u32, last: u32) -> vec4<f32> {
    var sum = vec4(0.0);
    var k = first;
    for (; k + 4u <= last; k += 4u) {
        sum = plus(sum, gates(u, k), deltas(at, k));
        sum = plus(sum, gates(u, k + 1u), deltas(at, k + 1u));
        sum = plus(sum, gates(u, k + 2u), deltas(at, k + 2u));
        sum = plus(sum, gates(u, k + 3u), deltas(at, k + 3u));
    }
    for (; k < last; k++) { sum = plus(sum, gates(u, k), deltas(at, k)); }
    return sum;
}
