// table[index[i], :] += x[i, :]   in the order of i. One invocation owns a column, so the sum needs no atomics and is
// deterministic.
//
// An index ≥ table_rows is skipped. Twin: src/kernels/scatter_add.rs.
struct Params { rows: u32, width: u32, table_rows: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [rows, width]
@group(0) @binding(2) var<storage, read> index: array<u32>;        // [rows]
@group(0) @binding(3) var<storage, read_write> table: array<f32>;  // [table_rows, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let col = linear(id);
    if col >= params.width { return; }
    for (var i = 0u; i < params.rows; i++) {
        let row = index[i];
        if row < params.table_rows {
            table[row * params.width + col] += x[i * params.width + col];
        }
    }
}
