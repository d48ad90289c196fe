// Words of weights from memory.
fn word(at: u32) -> Word { return packed[at]; }
