// c = a·b (+ bias) (+ c), a 64×64 tile of c per workgroup through workgroup memory, 4×4 per invocation
//
// Twin: src/kernels/matmul.rs.
const TILE: u32 = 64u;
const DEPTH: u32 = 16u;

var<workgroup> tile_a: array<f32, 1024>;  // [DEPTH, TILE]  a transposed
var<workgroup> tile_b: array<f32, 1024>;  // [DEPTH, TILE]

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let z = group.z;
    let row0 = group.y * TILE;
    let col0 = group.x * TILE;
    var c0 = vec4(0.0);
    var c1 = vec4(0.0);
    var c2 = vec4(0.0);
    var c3 = vec4(0.0);
    let k = depth(z);
    for (var k0 = 0u; k0 < k; k0 += DEPTH) {
        // Consecutive lanes read along the axis that is contiguous in memory.
        for (var e = lane; e < DEPTH * TILE; e += 256u) {
            let ka = select(e / TILE, e % DEPTH, params.a_col == 1u);
            let ra = select(e % TILE, e / DEPTH, params.a_col == 1u);
            var va = 0.0;
            if row0 + ra < params.m && k0 + ka < k {
                va = a[params.a_offset + z * params.a_batch + (row0 + ra) * params.a_row + (k0 + ka) * params.a_col];
            }
            tile_a[ka * TILE + ra] = va;
            let kb = select(e / TILE, e % DEPTH, params.b_row == 1u);
            let cb = select(e % TILE, e / DEPTH, params.b_row == 1u);
            var vb = 0.0;
            if col0 + cb < params.n && k0 + kb < k {
                vb = b[params.b_offset + z * params.b_batch + (k0 + kb) * params.b_row + (col0 + cb) * params.b_col];
            }
            tile_b[kb * TILE + cb] = vb;
        }
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            let ja = i * TILE + 4u * local.y;
            let jb = i * TILE + local.x;
            let bv = vec4(tile_b[jb], tile_b[jb + 16u], tile_b[jb + 32u], tile_b[jb + 48u]);
            c0 += tile_a[ja] * bv;
            c1 += tile_a[ja + 1u] * bv;
            c2 += tile_a[ja + 2u] * bv;
            c3 += tile_a[ja + 3u] * bv;
        }
        workgroupBarrier();
    }
    let row = row0 + 4u * local.y;
    for (var j = 0u; j < 4u; j++) {
        let col = col0 + local.x + 16u * j;
        store(z, row, col, c0[j]);
        store(z, row + 1u, col, c1[j]);
        store(z, row + 2u, col, c2[j]);
        store(z, row + 3u, col, c3[j]);
    }
}
