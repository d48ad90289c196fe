// dx[t, b, c] = Σ_j dwindows[g, o, b, c % (channels / groups), j]  over the taps j whose window o reads x[t, b, c]:
// o·stride + j·dilation = t + padding;  g = c / (channels / groups)
//
// Twin: src/kernels/fold.rs.
@group(0) @binding(1) var<storage, read> dwindows: array<f32>;  // [groups, outputs, batch, channels / groups, taps]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [steps, batch, channels]

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let i = linear(id);
    if i >= params.steps * params.batch * params.channels { return; }
    let width = params.channels / params.groups;
    let channel = i % params.channels;
    let b = i / params.channels % params.batch;
    let at = i / params.channels / params.batch + params.padding;
    var sum = 0.0;
    for (var j = 0u; j < params.taps && j * params.dilation <= at; j++) {
        let o = (at - j * params.dilation) / params.stride;
        if o * params.stride == at - j * params.dilation && o < params.outputs {
            sum += dwindows[window_at(channel / width, o, b) + channel % width * params.taps + j];
        }
    }
    dx[i] = sum;
}
