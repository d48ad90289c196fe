// Gradient of a simple recurrent cell:  δ = dh̃·f';  0 on masked steps.
//
// Twin: src/kernels/rnn_cell_backward.rs.
@group(0) @binding(1) var<storage, read> marks: array<u32>;          // [T, B]
@group(0) @binding(2) var<storage, read> saved: array<f32>;          // [D, T, B, 2H]
@group(0) @binding(3) var<storage, read> d_fresh: array<f32>;        // [D, B, H]
@group(0) @binding(4) var<storage, read_write> d_gates: array<f32>;  // [D, T, B, H]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let h = params.hidden;
    if i >= params.directions * params.batch * h { return; }
    let d = i / h / params.batch;
    let row = i / h % params.batch;
    let unit = i % h;
    let t = time_of(d, params.steps - 1u - params.step);
    let at = ((d * params.steps + t) * params.batch + row) * params.gates_row + unit;

    let g = d_fresh[i] * saved[saved_at(d, t, row) + h + unit];
    d_gates[at] = select(0.0, g, has(marks[t * params.batch + row], VALID));
}
