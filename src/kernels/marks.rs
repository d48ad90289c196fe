//! Bits that describe each step of a sequence, one word of `marks` `[T, B]` each; the twin of
//! `shaders/common/marks.wgsl`.
//!
//! Lengths, masks, padding and resets are all encoded in this one buffer, so no kernel needs a special case for them.

/// The step is valid; a masked step copies the state.
pub const VALID: u32 = 1;
/// The forward direction restarts its state after this step; the next bit does the same for the reverse direction.
pub const RESET: u32 = 2;
/// In the forward direction, a masked step outputs the state, not 0; the next bit does the same for the reverse
/// direction.
pub const REPEAT: u32 = 8;
/// A restart uses the initial state, not 0.
pub const TO_FIRST: u32 = 32;

/// Whether `mark` has `bit`. For RESET and REPEAT, tests the bit of the direction.
#[inline]
pub(crate) fn has(mark: u32, bit: u32, reverse: bool) -> bool {
    mark & (bit << reverse as u32) != 0
}

/// Returns the output of a step and the state for the next one, given the state `old` before the step and `fresh` after
/// it.
#[inline]
pub(crate) fn leave(mark: u32, reverse: bool, old: f32, fresh: f32, first: f32) -> (f32, f32) {
    let is_valid = mark & VALID != 0;
    let after = if is_valid { fresh } else { old };
    let y = if is_valid || has(mark, REPEAT, reverse) { after } else { 0.0 };
    let start = if mark & TO_FIRST != 0 { first } else { 0.0 };
    (y, if has(mark, RESET, reverse) { start } else { after })
}
