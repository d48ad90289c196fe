// States of a first-order recurrence:
//
//   h_i = a_i·h_{i−1} + b_i
//
// With params.log, a, b and h are logarithms, but h0 is not. Twin: src/kernels/scan.rs.
struct Params { steps: u32, width: u32, log: u32 }

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> a: array<f32>;        // [steps, width]
@group(0) @binding(2) var<storage, read> b: array<f32>;        // [steps, width]
@group(0) @binding(3) var<storage, read> h0: array<f32>;       // [width]
@group(0) @binding(4) var<storage, read_write> h: array<f32>;  // [steps, width]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let column = linear(id);
    if column >= params.width { return; }
    var state = first_state(h0[column], column);
    for (var step = 0u; step < params.steps; step++) {
        let at = step * params.width + column;
        state = plus(times(a[at], state), b[at]);
        h[at] = state;
    }
}
