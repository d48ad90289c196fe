// Bits that describe a step of a sequence, one word of `marks` [T, B] each. Host side: src/kernels/marks.rs. Requires
// common/time.
const VALID: u32 = 1u;      // the step is valid; a masked step copies the state
const RESET: u32 = 2u;      // forward: the state restarts after this step; reverse: the next bit
const REPEAT: u32 = 8u;     // forward: a masked step outputs the state, not 0; reverse: the next bit
const TO_FIRST: u32 = 32u;  // a restart uses the initial state, not 0

fn has(mark: u32, bit: u32) -> bool { return (mark & bit) != 0u; }

// RESET and REPEAT of a direction.
fn reset_bit(d: u32) -> u32 { return RESET << u32(is_reverse(d)); }
fn repeat_bit(d: u32) -> u32 { return REPEAT << u32(is_reverse(d)); }

// Like `has`, for four rows.
fn have(marks: vec4<u32>, bit: u32) -> vec4<bool> { return (marks & vec4(bit)) != vec4(0u); }
