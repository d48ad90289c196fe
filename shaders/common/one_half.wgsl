// For cells whose first half is the whole step: the rest is never called.
const HALVES: u32 = 1u;

fn second_sum(s: Step, u: u32, first: u32, last: u32) -> vec4<f32> { return vec4(0.0); }
fn to_sums(v: vec4<f32>) -> Sums { return Sums(); }
fn from_sums(sums: Sums) -> vec4<f32> { return vec4(0.0); }
fn second_half(s: Step, u: u32, unit: u32, sum: vec4<f32>) -> vec4<f32> { return sum; }
fn reset_state(s: Step, k: u32) -> vec4<f32> { return vec4(0.0); }
fn share(unit: u32, v: vec4<f32>) {}
