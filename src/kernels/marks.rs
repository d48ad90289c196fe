//! What a step of a sequence is, in one word of `marks` `[T, B]`; the twin of `shaders/common/marks.wgsl`.
//!
//! Lengths, masks, padding and resets are all data of this one buffer, so no kernel has a special case for them.

/// The step counts; else the state is copied.
pub const VALID: u32 = 1;
/// The forward direction starts anew after this step; the next bit is the reverse direction's.
pub const RESET: u32 = 2;
/// In the forward direction, a step that does not count gives the state, not 0; the next bit is the reverse direction's.
pub const REPEAT: u32 = 8;
/// Starting anew is from the first state, not from 0.
pub const TO_FIRST: u32 = 32;

/// Whether `mark` has `bit`, for RESET and REPEAT that of the direction.
#[inline]
pub(crate) fn has(mark: u32, bit: u32, reverse: bool) -> bool {
    mark & (bit << reverse as u32) != 0
}

/// What a step leaves, given the state `old` before it and `fresh` after it: the output, and the next step's state.
#[inline]
pub(crate) fn leave(mark: u32, reverse: bool, old: f32, fresh: f32, first: f32) -> (f32, f32) {
    let is_valid = mark & VALID != 0;
    let after = if is_valid { fresh } else { old };
    let y = if is_valid || has(mark, REPEAT, reverse) { after } else { 0.0 };
    let start = if mark & TO_FIRST != 0 { first } else { 0.0 };
    (y, if has(mark, RESET, reverse) { start } else { after })
}
