// Operands of a matrix product in blocks of four by four. Each operand is contiguous along one axis, in whole vectors.
// Requires common/matmul. Host side: `is_in_blocks` in src/kernels/matmul.rs.
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;  // [batch, m, k] strided
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;  // [batch, k, n] strided

const FOUR: vec4<u32> = vec4(0u, 1u, 2u, 3u);

// v[j] holds four rows of a, from `row` on, at k + j. Past the last row, rows are read again; past `depth`, v is 0.
fn block_a(z: u32, row: u32, k: u32, depth: u32) -> mat4x4<f32> {
    let start = params.a_offset + z * params.a_batch;
    if params.a_col == 1u {
        if k >= depth { return mat4x4<f32>(); }
        let at = (start + min(row + FOUR, vec4(params.m - 1u)) * params.a_row + k) / 4u;
        return transpose(mat4x4(a[at.x], a[at.y], a[at.z], a[at.w]));
    }
    let at = (start + min(row, params.m - 4u) + min(k + FOUR, vec4(depth - 1u)) * params.a_col) / 4u;
    return inside(mat4x4(a[at.x], a[at.y], a[at.z], a[at.w]), k, depth);
}

// v[j] holds four columns of b, from `col` on, at k + j.
fn block_b(z: u32, col: u32, k: u32, depth: u32) -> mat4x4<f32> {
    let start = params.b_offset + z * params.b_batch;
    if params.b_row == 1u {
        if k >= depth { return mat4x4<f32>(); }
        let at = (start + min(col + FOUR, vec4(params.n - 1u)) * params.b_col + k) / 4u;
        return transpose(mat4x4(b[at.x], b[at.y], b[at.z], b[at.w]));
    }
    let at = (start + min(col, params.n - 4u) + min(k + FOUR, vec4(depth - 1u)) * params.b_row) / 4u;
    return inside(mat4x4(b[at.x], b[at.y], b[at.z], b[at.w]), k, depth);
}

// Selects, because 0 times what lies past the end could be NaN.
fn inside(v: mat4x4<f32>, k: u32, depth: u32) -> mat4x4<f32> {
    let zero = vec4(0.0);
    return mat4x4(
        select(zero, v[0], k < depth),
        select(zero, v[1], k + 1u < depth),
        select(zero, v[2], k + 2u < depth),
        select(zero, v[3], k + 3u < depth),
    );
}
