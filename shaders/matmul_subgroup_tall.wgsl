// c = a·b (+ bias) (+ c), a 32×32 block of c per subgroup of eight lanes: matmul_subgroup with twice the rows, 8 loads
// for 128 products.
//
// Same requirements as matmul_subgroup. Twin: src/kernels/matmul.rs.
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;  // [batch, m, k / 4] strided
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;  // [batch, n, k / 4] strided

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let row = 32u * group.y;
    let col = 32u * group.x + lane;
    let z = group.z;
    let eights = vec4(0u, 8u, 16u, 24u);
    let rows = min(row + lane + eights, vec4(params.m - 1u));
    let cols = min(col + eights, vec4(params.n - 1u));
    let ia = (params.a_offset + z * params.a_batch + rows * params.a_row) / 4u;
    let ib = (params.b_offset + z * params.b_batch + cols * params.b_col) / 4u;

    // Indexed only by constants, so that compilers keep it in registers.
    var c: array<vec4<f32>, 32>;
    let k = depth(z) / 4u;
    for (var i = 0u; i < k; i++) {
        let a0 = a[ia.x + i];
        let a1 = a[ia.y + i];
        let a2 = a[ia.z + i];
        let a3 = a[ia.w + i];
        let t = transpose(mat4x4(b[ib.x + i], b[ib.y + i], b[ib.z + i], b[ib.w + i]));
        c[0] += t * subgroupBroadcast(a0, 0u);
        c[1] += t * subgroupBroadcast(a0, 1u);
        c[2] += t * subgroupBroadcast(a0, 2u);
        c[3] += t * subgroupBroadcast(a0, 3u);
        c[4] += t * subgroupBroadcast(a0, 4u);
        c[5] += t * subgroupBroadcast(a0, 5u);
        c[6] += t * subgroupBroadcast(a0, 6u);
        c[7] += t * subgroupBroadcast(a0, 7u);
        c[8] += t * subgroupBroadcast(a1, 0u);
        c[9] += t * subgroupBroadcast(a1, 1u);
        c[10] += t * subgroupBroadcast(a1, 2u);
        c[11] += t * subgroupBroadcast(a1, 3u);
        c[12] += t * subgroupBroadcast(a1, 4u);
        c[13] += t * subgroupBroadcast(a1, 5u);
        c[14] += t * subgroupBroadcast(a1, 6u);
        c[15] += t * subgroupBroadcast(a1, 7u);
        c[16] += t * subgroupBroadcast(a2, 0u);
        c[17] += t * subgroupBroadcast(a2, 1u);
        c[18] += t * subgroupBroadcast(a2, 2u);
        c[19] += t * subgroupBroadcast(a2, 3u);
        c[20] += t * subgroupBroadcast(a2, 4u);
        c[21] += t * subgroupBroadcast(a2, 5u);
        c[22] += t * subgroupBroadcast(a2, 6u);
        c[23] += t * subgroupBroadcast(a2, 7u);
        c[24] += t * subgroupBroadcast(a3, 0u);
        c[25] += t * subgroupBroadcast(a3, 1u);
        c[26] += t * subgroupBroadcast(a3, 2u);
        c[27] += t * subgroupBroadcast(a3, 3u);
        c[28] += t * subgroupBroadcast(a3, 4u);
        c[29] += t * subgroupBroadcast(a3, 5u);
        c[30] += t * subgroupBroadcast(a3, 6u);
        c[31] += t * subgroupBroadcast(a3, 7u);
    }

    // Bounds known at compile time would make the compiler unroll the stores, which takes seconds.
    var kept = c;
    for (var r = 0u; r < min(32u, params.m - row); r++) {
        for (var j = 0u; j < min(4u, params.n); j++) {
            store(z, row + r, col + 8u * j, kept[r][j]);
        }
    }
}
