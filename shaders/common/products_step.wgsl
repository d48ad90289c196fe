// Σ U[k]·h[k] of a step of the chain, for k from `first` to below `last`, a multiple of 4. Requires common/products.
fn value(at: vec4<u32>, k: u32) -> vec4<f32> { return load_state(at + k); }

// For a batch of one: loads each value once instead of four times.
fn products_of_one(u: u32, at: u32, first: u32, last: u32) -> Gates {
    var a = Gates();
    var k = first;
    for (; k + 4u <= last; k += 4u) {
        let j = u + k / IN_WORD * ROW;
        a += gates(j, 0u) * state[at + k];
        a += gates(j + 1u / IN_WORD * ROW, 1u) * state[at + k + 1u];
        a += gates(j + 2u / IN_WORD * ROW, 2u) * state[at + k + 2u];
        a += gates(j + 3u / IN_WORD * ROW, 3u) * state[at + k + 3u];
    }
    for (; k < last; k++) { a += gates(u + k / IN_WORD * ROW, k) * state[at + k]; }
    return a;
}

fn products_of_step(u: u32, at: vec4<u32>, first: u32, last: u32) -> Sums {
    if params.batch == 1u { return Sums(products_of_one(u, at.x, first, last), Gates(), Gates(), Gates()); }
    return products(u, at, first, last);
}
