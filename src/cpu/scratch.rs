//! Temporary memory of a thread, kept because an allocation can take as long as a small kernel.

use std::cell::Cell;

use super::lines::Lines;

thread_local!(static LINES: Cell<Option<Lines>> = const { Cell::new(None) });

/// Calls `f` with `len` floats of unspecified content. A nested call allocates.
pub fn with<T>(len: usize, f: impl FnOnce(&mut [f32]) -> T) -> T {
    let mut lines = LINES.take().filter(|lines| lines.len() >= len).unwrap_or_else(|| Lines::zeros(len));
    let result = f(&mut lines[..len]);
    LINES.set(Some(lines));
    result
}
