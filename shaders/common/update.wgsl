// Parameters and random masks shared by the state update and its backward pass.
// Host side and twin: src/kernels/state_update.rs.
struct Params {
    steps: u32, batch: u32, out: u32, width: u32, directions: u32, reverse: u32, step: u32,
    draws: u32,                                                          // 1: zoneout draws a mask, 0: it uses the mean
    zone_h: f32, zone_c: f32, zone_h_below: u32, zone_c_below: u32,      // zoneout rates, and as thresholds
    zone_low: u32, zone_high: u32,
    drops: u32, drop_below: u32, drop_scale: f32, drop_low: u32, drop_high: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Weight of the fresh value in element i of [D, T, B, width], column j.
fn keep(i: u32, j: u32) -> f32 {
    let share = select(params.zone_c, params.zone_h, j < params.out);
    if params.draws == 0u || share == 0.0 { return 1.0 - share; }
    let word = threefry(vec2(params.zone_low, params.zone_high), vec2(i, 0u)).x;
    return select(0.0, 1.0, word >= select(params.zone_c_below, params.zone_h_below, j < params.out));
}

// Dropout factor of element i of [D, B, out] in the recurrent product's input.
fn through(i: u32) -> f32 {
    if params.drops == 0u { return 1.0; }
    let word = threefry(vec2(params.drop_low, params.drop_high), vec2(i, 0u)).x;
    return select(0.0, params.drop_scale, word >= params.drop_below);
}
