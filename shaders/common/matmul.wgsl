// Parameters and result shared by the matrix products. Host side: src/kernels/matmul.rs.
struct Params {
    m: u32, n: u32, k: u32, batch: u32,
    a_offset: u32, a_batch: u32, a_row: u32, a_col: u32,
    b_offset: u32, b_batch: u32, b_row: u32, b_col: u32,
    c_offset: u32, c_batch: u32, c_row: u32,
    k_all: u32, bias: u32, accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> bias: array<f32>;     // [n] when params.bias is 1, else unread
@group(0) @binding(4) var<storage, read_write> c: array<f32>;  // [batch, m, n] strided

// Inner extent of the product in batch z: split-K gives each batch k of the k_all columns, and the last one the
// remainder.
fn depth(z: u32) -> u32 {
    return min(params.k, params.k_all - min(params.k_all, z * params.k));
}

fn store(z: u32, row: u32, col: u32, value: f32) {
    if row >= params.m || col >= params.n { return; }
    let i = params.c_offset + z * params.c_batch + row * params.c_row + col;
    var v = value;
    if params.bias == 1u { v += bias[col]; }
    if params.accumulate == 1u { v += c[i]; }
    c[i] = v;
}
