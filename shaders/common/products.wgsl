// U·v of four rows for all gates of a unit, without the bias. All values of four k are loaded before they are used, so
// that the loop waits for memory once per four k.
//
// Requires `value(at, k)`, which is v[k] of the four rows, a cell, and common/weights_*.
fn products(u: u32, at: vec4<u32>) -> Sums {
    var a = Gates();
    var b = Gates();
    var c = Gates();
    var d = Gates();
    var k = 0u;
    for (; k + 4u <= params.hidden; k += 4u) {
        let w = gates_of_four(word_at(u, k));
        let v0 = value(at, k);
        let v1 = value(at, k + 1u);
        let v2 = value(at, k + 2u);
        let v3 = value(at, k + 3u);
        a = a + w[0] * v0.x + w[1] * v1.x + w[2] * v2.x + w[3] * v3.x;
        b = b + w[0] * v0.y + w[1] * v1.y + w[2] * v2.y + w[3] * v3.y;
        c = c + w[0] * v0.z + w[1] * v1.z + w[2] * v2.z + w[3] * v3.z;
        d = d + w[0] * v0.w + w[1] * v1.w + w[2] * v2.w + w[3] * v3.w;
    }
    for (; k < params.hidden; k++) {
        let w = gates_of_one(word_at(u, k), k);
        let v = value(at, k);
        a += w * v.x;
        b += w * v.y;
        c += w * v.z;
        d += w * v.w;
    }
    return Sums(a, b, c, d);
}
