// Σ_g U_gᵀ·δ_g of four rows for a unit, with all loads of four k before the sums, as in common/products.
//
// Requires a cell, which calls `delta(at, part, k)`: value k of vector `part` of the gate gradients of the four rows.
fn weights_of_four(j: u32, row: u32) -> vec4<f32> {
    return vec4(packed[j], packed[j + row], packed[j + 2u * row], packed[j + 3u * row]);
}

fn product(u: u32, at: vec4<u32>) -> vec4<f32> {
    var sum = vec4(0.0);
    var k = 0u;
    for (; k + 4u <= params.hidden; k += 4u) {
        let w = gates_of_four(u, k);
        let d0 = deltas(at, k);
        let d1 = deltas(at, k + 1u);
        let d2 = deltas(at, k + 2u);
        let d3 = deltas(at, k + 3u);
        sum = plus(plus(plus(plus(sum, w[0], d0), w[1], d1), w[2], d2), w[3], d3);
    }
    for (; k < params.hidden; k++) { sum = plus(sum, gates_of_one(u, k), deltas(at, k)); }
    return sum;
}
