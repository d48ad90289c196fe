// Parameters and index arithmetic shared by unfold and fold. Host side: src/kernels/unfold.rs.
struct Params {
    steps: u32, outputs: u32, batch: u32, channels: u32, groups: u32,
    taps: u32, stride: u32, padding: u32, dilation: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// First element of a window [channels / groups, taps] of a group.
fn window_at(g: u32, o: u32, b: u32) -> u32 {
    return ((g * params.outputs + o) * params.batch + b) * (params.channels / params.groups) * params.taps;
}
