// c = a·b (+ bias) (+ c), eight rows by eight columns per invocation, without workgroup memory or barriers
//
// Reads four words along k at a time: 16 loads for 256 products. Requires k, strides and offsets to be whole vectors,
// and both operands contiguous along k. At the edges, the last row and column are read again.
// Twin: src/kernels/matmul.rs.
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;  // [batch, m, k / 4] strided
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;  // [batch, n, k / 4] strided

@compute @workgroup_size(16, 4)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let col = 8u * id.x;
    let row = 8u * id.y;
    let z = id.z;
    if row >= params.m || col >= params.n { return; }
    let four = vec4(0u, 1u, 2u, 3u);
    let a0 = (params.a_offset + z * params.a_batch + min(row + four, vec4(params.m - 1u)) * params.a_row) / 4u;
    let a1 = (params.a_offset + z * params.a_batch + min(row + 4u + four, vec4(params.m - 1u)) * params.a_row) / 4u;
    let b0 = (params.b_offset + z * params.b_batch + min(col + four, vec4(params.n - 1u)) * params.b_col) / 4u;
    let b1 = (params.b_offset + z * params.b_batch + min(col + 4u + four, vec4(params.n - 1u)) * params.b_col) / 4u;

    // Indexed only by constants, so that compilers keep it in registers.
    var c: array<vec4<f32>, 16>;
    let k = depth(z) / 4u;
    for (var i = 0u; i < k; i++) {
        let t0 = transpose(mat4x4(b[b0.x + i], b[b0.y + i], b[b0.z + i], b[b0.w + i]));
        let t1 = transpose(mat4x4(b[b1.x + i], b[b1.y + i], b[b1.z + i], b[b1.w + i]));
        var v = a[a0.x + i];
        c[0] += t0 * v;
        c[1] += t1 * v;
        v = a[a0.y + i];
        c[2] += t0 * v;
        c[3] += t1 * v;
        v = a[a0.z + i];
        c[4] += t0 * v;
        c[5] += t1 * v;
        v = a[a0.w + i];
        c[6] += t0 * v;
        c[7] += t1 * v;
        v = a[a1.x + i];
        c[8] += t0 * v;
        c[9] += t1 * v;
        v = a[a1.y + i];
        c[10] += t0 * v;
        c[11] += t1 * v;
        v = a[a1.z + i];
        c[12] += t0 * v;
        c[13] += t1 * v;
        v = a[a1.w + i];
        c[14] += t0 * v;
        c[15] += t1 * v;
    }

    // Bounds known at compile time would make the compiler unroll the stores, which slows compilation.
    var kept = c;
    for (var r = 0u; r < min(8u, params.m - row); r++) {
        for (var j = 0u; j < min(8u, params.n - col); j++) {
            store(z, row + r, col + j, kept[2u * r + j / 4u][j % 4u]);
        }
    }
}
