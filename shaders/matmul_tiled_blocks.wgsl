// c = a·b (+ bias) (+ c), a 64×64 tile of c per workgroup through workgroup memory, 8×8 per invocation: 4 loads of
// vectors for 64 products
//
// Requires operands in whole vectors. Twin: src/kernels/matmul.rs.
const TILE: u32 = 64u;
const QUADS: u32 = 16u;  // vectors of four rows or columns per tile
const DEPTH: u32 = 16u;

var<workgroup> tile_a: array<vec4<f32>, 256>;  // [DEPTH, QUADS]  a transposed
var<workgroup> tile_b: array<vec4<f32>, 256>;  // [DEPTH, QUADS]

// The lane's block of a tile: the number of its rows or columns, and of its k. Lanes read along the contiguous axis.
fn block_of(lane: u32, is_along_k: bool) -> vec2<u32> {
    return select(vec2(lane % QUADS, lane / QUADS), vec2(lane / 4u, lane % 4u), is_along_k);
}

// Rows 4·y and 32 + 4·y of the tile, columns 4·x and 32 + 4·x, four of each, at one k. `c` is only indexed by constants,
// so that compilers keep it in registers.
fn add_outer(c: ptr<function, array<vec4<f32>, 16>>, y: u32, x: u32, k: u32) {
    let a0 = tile_a[k * QUADS + y];
    let a1 = tile_a[k * QUADS + 8u + y];
    let b0 = tile_b[k * QUADS + x];
    let b1 = tile_b[k * QUADS + 8u + x];
    (*c)[0] += a0.x * b0;
    (*c)[1] += a0.x * b1;
    (*c)[2] += a0.y * b0;
    (*c)[3] += a0.y * b1;
    (*c)[4] += a0.z * b0;
    (*c)[5] += a0.z * b1;
    (*c)[6] += a0.w * b0;
    (*c)[7] += a0.w * b1;
    (*c)[8] += a1.x * b0;
    (*c)[9] += a1.x * b1;
    (*c)[10] += a1.y * b0;
    (*c)[11] += a1.y * b1;
    (*c)[12] += a1.z * b0;
    (*c)[13] += a1.z * b1;
    (*c)[14] += a1.w * b0;
    (*c)[15] += a1.w * b1;
}

@compute @workgroup_size(8, 8)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let z = group.z;
    let row0 = group.y * TILE;
    let col0 = group.x * TILE;
    let of_a = block_of(lane, params.a_col == 1u);
    let of_b = block_of(lane, params.b_row == 1u);
    let depth = depth(z);
    var c: array<vec4<f32>, 16>;  // [row, half of the columns]
    for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
        let va = block_a(z, row0 + 4u * of_a.x, k0 + 4u * of_a.y, depth);
        let vb = block_b(z, col0 + 4u * of_b.x, k0 + 4u * of_b.y, depth);
        let to_a = 4u * of_a.y * QUADS + of_a.x;
        let to_b = 4u * of_b.y * QUADS + of_b.x;
        tile_a[to_a] = va[0];
        tile_a[to_a + QUADS] = va[1];
        tile_a[to_a + 2u * QUADS] = va[2];
        tile_a[to_a + 3u * QUADS] = va[3];
        tile_b[to_b] = vb[0];
        tile_b[to_b + QUADS] = vb[1];
        tile_b[to_b + 2u * QUADS] = vb[2];
        tile_b[to_b + 3u * QUADS] = vb[3];
        workgroupBarrier();
        for (var k = 0u; k < DEPTH; k += 4u) {
            add_outer(&c, local.y, local.x, k);
            add_outer(&c, local.y, local.x, k + 1u);
            add_outer(&c, local.y, local.x, k + 2u);
            add_outer(&c, local.y, local.x, k + 3u);
        }
        workgroupBarrier();
    }

    // Bounds known at compile time would make the compiler unroll the stores, which slows compilation.
    var kept = c;
    for (var r = 0u; r < min(8u, params.m); r++) {
        for (var j = 0u; j < min(8u, params.n); j++) {
            let row = row0 + 32u * (r / 4u) + 4u * local.y + r % 4u;
            store(z, row, col0 + 32u * (j / 4u) + 4u * local.x + j % 4u, kept[2u * r + j / 4u][j % 4u]);
        }
    }
}
