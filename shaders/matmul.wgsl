// c = a·b (+ bias) (+ c), four rows by four columns per invocation, read directly from the buffers, without barriers
//
// At the edges, the last row and column are read again and the results discarded. Twin: src/kernels/matmul.rs.
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let col = 4u * id.x;
    let row = 4u * id.y;
    let z = id.z;
    if row >= params.m || col >= params.n { return; }
    let rows = min(row + vec4(0u, 1u, 2u, 3u), vec4(params.m - 1u));
    let cols = min(col + vec4(0u, 1u, 2u, 3u), vec4(params.n - 1u));
    let ia = params.a_offset + z * params.a_batch + rows * params.a_row;
    let ib = params.b_offset + z * params.b_batch + cols * params.b_col;

    var c0 = vec4(0.0);
    var c1 = vec4(0.0);
    var c2 = vec4(0.0);
    var c3 = vec4(0.0);
    let k = depth(z);
    for (var i = 0u; i < k; i++) {
        let ja = ia + i * params.a_col;
        let jb = ib + i * params.b_row;
        let bv = vec4(b[jb.x], b[jb.y], b[jb.z], b[jb.w]);
        c0 += a[ja.x] * bv;
        c1 += a[ja.y] * bv;
        c2 += a[ja.z] * bv;
        c3 += a[ja.w] * bv;
    }
    for (var j = 0u; j < 4u; j++) {
        store(z, row, col + j, c0[j]);
        store(z, row + 1u, col + j, c1[j]);
        store(z, row + 2u, col + j, c2[j]);
        store(z, row + 3u, col + j, c3[j]);
    }
}
