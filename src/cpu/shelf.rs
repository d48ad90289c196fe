//! Buffers that wait for their next use, so that the system gives their pages once and not at every run.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::lines::Lines;

/// Floats of the smallest buffer that is kept: for smaller ones the allocator does the same.
const LEAST: usize = 1 << 10;
/// Bytes kept at most.
const KEPT: usize = 256 << 20;

/// Buffers by the floats they have room for.
#[derive(Default)]
pub struct Shelf(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    buffers: HashMap<usize, Vec<Lines>>,
    bytes: usize,
}

/// Rounded up to an eighth of the power of two, so that few sizes circulate.
fn size_class(len: usize) -> usize {
    if len < LEAST { len } else { len.next_multiple_of(len.next_power_of_two() / 8) }
}

impl Shelf {
    /// `len` floats of any value; NaN in debug builds, so that who reads before writing is found.
    pub fn take(&self, len: usize) -> Lines {
        let room = size_class(len);
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = kept.buffers.get_mut(&room).and_then(Vec::pop);
        kept.bytes -= if lines.is_some() { bytes(room) } else { 0 };
        drop(kept);
        let mut lines = lines.unwrap_or_else(|| Lines::zeros(room)).cut(len);
        if cfg!(debug_assertions) {
            lines.fill(f32::NAN);
        }
        lines
    }

    /// Keeps `lines` for later. When there is too much already, what waits is of sizes that are no longer asked for, and
    /// goes.
    pub fn give(&self, lines: Lines) {
        let room = lines.room();
        if room < LEAST || bytes(room) > KEPT || room != size_class(room) {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.bytes + bytes(room) > KEPT {
            *kept = Kept::default();
        }
        kept.bytes += bytes(room);
        kept.buffers.entry(room).or_default().push(lines);
    }
}

fn bytes(room: usize) -> usize {
    room * size_of::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_used_again_for_any_length_of_their_class() {
        let shelf = Shelf::default();
        let lines = shelf.take(10_000);
        let place = lines.as_ptr();
        assert_eq!((lines.len(), lines.room()), (10_000, 10_240));
        shelf.give(lines);
        let again = shelf.take(10_239);
        assert_eq!((again.as_ptr(), again.len()), (place, 10_239));
        assert_ne!(shelf.take(10_000).as_ptr(), place, "it is taken");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let shelf = Shelf::default();
        let held = || shelf.0.lock().expect("no panic").bytes;
        shelf.give(shelf.take(LEAST - 1));
        assert_eq!(held(), 0, "small ones are the allocator's");
        let [a, b] = [0, 1].map(|_| shelf.take(KEPT / 4 / 3 * 2));
        shelf.give(a);
        let one = held();
        assert!(one > KEPT / 2);
        shelf.give(b);
        assert_eq!(held(), one, "the first made room");
        drop(shelf.take(KEPT / 4 / 3 * 2));
        assert_eq!(held(), 0);
    }
}
