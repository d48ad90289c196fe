// c = a·b (+ bias) (+ c) as a sum of outer products, a 16×32 block of c per subgroup of eight lanes. The counterpart of
// matmul_subgroup for operands that are contiguous across k instead of along it.
//
// For each pair of steps along k, a lane holds four rows of a at one step and four columns of b at both. Requires m, n,
// strides and offsets to be whole vectors, and even k. At the edges, the last vector is read again.
// Twin: src/kernels/matmul.rs.
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;  // [batch, k, m / 4] strided
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;  // [batch, k, n / 4] strided

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let row = 16u * group.y;
    let col = 32u * group.x + 4u * lane;
    let z = group.z;
    let rows = min(row + 4u * (lane % 4u), params.m - 4u);
    let ia = (params.a_offset + z * params.a_batch + (lane / 4u) * params.a_col + rows) / 4u;
    let ib = (params.b_offset + z * params.b_batch + min(col, params.n - 4u)) / 4u;

    // Indexed only by constants, so that compilers keep it in registers.
    var c: array<vec4<f32>, 16>;
    let k = depth(z);
    for (var i = 0u; i < k; i += 2u) {
        let av = a[ia + i * (params.a_col / 4u)];
        let b0 = b[ib + i * (params.b_row / 4u)];
        let b1 = b[ib + (i + 1u) * (params.b_row / 4u)];
        c[0] += subgroupBroadcast(av.x, 0u) * b0 + subgroupBroadcast(av.x, 4u) * b1;
        c[1] += subgroupBroadcast(av.y, 0u) * b0 + subgroupBroadcast(av.y, 4u) * b1;
        c[2] += subgroupBroadcast(av.z, 0u) * b0 + subgroupBroadcast(av.z, 4u) * b1;
        c[3] += subgroupBroadcast(av.w, 0u) * b0 + subgroupBroadcast(av.w, 4u) * b1;
        c[4] += subgroupBroadcast(av.x, 1u) * b0 + subgroupBroadcast(av.x, 5u) * b1;
        c[5] += subgroupBroadcast(av.y, 1u) * b0 + subgroupBroadcast(av.y, 5u) * b1;
        c[6] += subgroupBroadcast(av.z, 1u) * b0 + subgroupBroadcast(av.z, 5u) * b1;
        c[7] += subgroupBroadcast(av.w, 1u) * b0 + subgroupBroadcast(av.w, 5u) * b1;
        c[8] += subgroupBroadcast(av.x, 2u) * b0 + subgroupBroadcast(av.x, 6u) * b1;
        c[9] += subgroupBroadcast(av.y, 2u) * b0 + subgroupBroadcast(av.y, 6u) * b1;
        c[10] += subgroupBroadcast(av.z, 2u) * b0 + subgroupBroadcast(av.z, 6u) * b1;
        c[11] += subgroupBroadcast(av.w, 2u) * b0 + subgroupBroadcast(av.w, 6u) * b1;
        c[12] += subgroupBroadcast(av.x, 3u) * b0 + subgroupBroadcast(av.x, 7u) * b1;
        c[13] += subgroupBroadcast(av.y, 3u) * b0 + subgroupBroadcast(av.y, 7u) * b1;
        c[14] += subgroupBroadcast(av.z, 3u) * b0 + subgroupBroadcast(av.z, 7u) * b1;
        c[15] += subgroupBroadcast(av.w, 3u) * b0 + subgroupBroadcast(av.w, 7u) * b1;
    }

    // Bounds known at compile time would make the compiler unroll the stores, which takes seconds.
    var kept = c;
    for (var r = 0u; r < min(16u, params.m - row); r++) {
        for (var j = 0u; j < min(4u, params.n); j++) {
            store(z, row + r, col + j, kept[r][j]);
        }
    }
}
