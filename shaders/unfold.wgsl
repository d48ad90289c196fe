// windows[g, o, b, c, j] = x[o·stride + j·dilation − padding, b, g·(channels / groups) + c],  0 outside of x
//
// Twin: src/kernels/unfold.rs.
@group(0) @binding(1) var<storage, read> x: array<f32>;              // [steps, batch, channels]
@group(0) @binding(2) var<storage, read_write> windows: array<f32>;  // [groups, outputs, batch, channels / groups, taps]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.outputs * params.batch * params.channels * params.taps { return; }
    let width = params.channels / params.groups;
    let j = i % params.taps;
    let c = i / params.taps % width;
    let b = i / params.taps / width % params.batch;
    let o = i / params.taps / width / params.batch % params.outputs;
    let g = i / params.taps / width / params.batch / params.outputs;
    let at = o * params.stride + j * params.dilation;
    var v = 0.0;
    if at >= params.padding && at - params.padding < params.steps {
        v = x[((at - params.padding) * params.batch + b) * params.channels + g * width + c];
    }
    windows[i] = v;
}
