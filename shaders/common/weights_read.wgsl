// For recurrent_sequence_split: every step reads the weights from memory.
fn hold(u: u32, first: u32) {}

fn products_of_part(u: u32, at: vec4<u32>, first: u32, last: u32) -> Sums { return products(u, at, first, last); }
