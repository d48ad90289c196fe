// Simple recurrent cell after its two products:  h̃ = f(x + a),  with the pre-activation clipped.
//
// Twin: src/kernels/rnn_cell.rs.
@group(0) @binding(1) var<storage, read> x: array<f32>;            // [D, T, B, H]
@group(0) @binding(2) var<storage, read> rec: array<f32>;          // [D, B, H]
@group(0) @binding(3) var<storage, read_write> fresh: array<f32>;  // [D, B, H]
@group(0) @binding(4) var<storage, read_write> saved: array<f32>;  // [D, T, B, 2H]  h̃ and its slope, if params.save = 1

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    let h = params.hidden;
    if i >= params.directions * params.batch * h { return; }
    let d = i / h / params.batch;
    let row = i / h % params.batch;
    let unit = i % h;
    let t = time_of(d, params.step);
    let at = saved_at(d, t, row) + unit;

    let v = x[((d * params.steps + t) * params.batch + row) * h + unit] + rec[i];
    let y = gate(0u, clipped(v));
    fresh[i] = y;
    if params.save == 1u {
        saved[at] = y;
        saved[at + h] = gate_slope(0u, v, y);
    }
}
