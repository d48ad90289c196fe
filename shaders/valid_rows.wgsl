// y[i, :] = x[src_offset + i·src_row ..] where step i is valid, else 0, even if x is not finite there
//
// Twin: src/kernels/valid_rows.rs.
struct Params { rows: u32, width: u32, src_row: u32, src_offset: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> marks: array<u32>;    // [rows]  bit 0 is set where a step is valid
@group(0) @binding(2) var<storage, read> x: array<f32>;        // [rows, width] by src_row
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [rows, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.rows * params.width { return; }
    let row = i / params.width;
    let v = x[params.src_offset + row * params.src_row + i % params.width];
    y[i] = select(0.0, v, (marks[row] & 1u) != 0u);
}
