// What a step of a sequence is, in one word of `marks` [T, B]. Host side: src/kernels/marks.rs. Wants common/time.
const VALID: u32 = 1u;      // the step counts; else the state is copied
const RESET: u32 = 2u;      // forward: the state starts anew after this step; reverse: the next bit
const REPEAT: u32 = 8u;     // forward: a step that does not count gives the state, not 0; reverse: the next bit
const TO_FIRST: u32 = 32u;  // starting anew is from the first state, not from 0

fn has(mark: u32, bit: u32) -> bool { return (mark & bit) != 0u; }

// Bits that differ by direction.
fn reset_bit(d: u32) -> u32 { return RESET << u32(is_reverse(d)); }
fn repeat_bit(d: u32) -> u32 { return REPEAT << u32(is_reverse(d)); }
