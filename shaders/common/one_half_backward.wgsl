// For cells whose first half computes all gate gradients.
const HALVES: u32 = 1u;

fn second_half(s: Step, u: u32, unit: u32, at: vec4<u32>) {}
