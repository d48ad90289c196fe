// For recurrent_sequence_split: every step reads the weights from memory.
fn hold(u: u32, first: u32) {}

fn sum_of_part(u: u32, at: vec4<u32>, first: u32, last: u32) -> Sums { return products(u, at, first, last); }

fn second_sum_of_part(s: Step, u: u32, first: u32, last: u32) -> vec4<f32> { return second_sum(s, u, first, last); }
