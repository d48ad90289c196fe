// c = a·b (+ bias) (+ c), four rows by four columns per invocation, by vectors from the buffers: 8 loads for 64 products,
// in at most 64 registers, without workgroup memory, which is ordinary cached memory on some mobile GPUs
//
// Requires operands in whole vectors. Twin: src/kernels/matmul.rs.
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let col = 4u * id.x;
    let row = 4u * id.y;
    let z = id.z;
    if row >= params.m || col >= params.n { return; }
    let depth = depth(z);
    var c = mat4x4<f32>();  // c[r] is a row
    for (var k = 0u; k < depth; k += 4u) {
        let va = block_a(z, row, k, depth);
        let vb = block_b(z, col, k, depth);
        c[0] += va[0].x * vb[0];
        c[1] += va[0].y * vb[0];
        c[2] += va[0].z * vb[0];
        c[3] += va[0].w * vb[0];
        c[0] += va[1].x * vb[1];
        c[1] += va[1].y * vb[1];
        c[2] += va[1].z * vb[1];
        c[3] += va[1].w * vb[1];
        c[0] += va[2].x * vb[2];
        c[1] += va[2].y * vb[2];
        c[2] += va[2].z * vb[2];
        c[3] += va[2].w * vb[2];
        c[0] += va[3].x * vb[3];
        c[1] += va[3].y * vb[3];
        c[2] += va[3].z * vb[3];
        c[3] += va[3].w * vb[3];
    }
    for (var j = 0u; j < 4u; j++) {
        store(z, row, col + j, c[0][j]);
        store(z, row + 1u, col + j, c[1][j]);
        store(z, row + 2u, col + j, c[2][j]);
        store(z, row + 3u, col + j, c[3][j]);
    }
}
