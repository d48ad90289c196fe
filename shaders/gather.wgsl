// out[i, :] = table[index[i], :]        an index ≥ table_rows gives NaN
//
// Twin: src/kernels/gather.rs.
struct Params { rows: u32, width: u32, table_rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<f32>;      // [table_rows, width]
@group(0) @binding(2) var<storage, read> index: array<u32>;      // [rows]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;  // [rows, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.rows * params.width { return; }
    let row = index[i / params.width];
    if row < params.table_rows {
        out[i] = table[row * params.width + i % params.width];
    } else {
        out[i] = bitcast<f32>(0x7fc00000u | (params.rows & 0u));
    }
}
