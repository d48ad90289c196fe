//! Sizes of the blocks in which series run through a model.

/// Rows that the library computes together: the result of a row depends neither on the other rows of a block nor on
/// their number, if the number is a multiple of this.
pub const GROUP: usize = 8;
/// Maximum number of rows in a block.
const MOST_ROWS: usize = 64;
/// Steps of all rows in a block, so that the values of a block stay in the caches of a core.
const STEPS: usize = 8192;

/// Returns the number of rows in a block of series with this many steps.
pub fn rows(steps: usize) -> usize {
    (STEPS / steps.max(1) / GROUP * GROUP).clamp(GROUP, MOST_ROWS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_groups() {
        for steps in [0, 1, 7, 96, 100, 500, 1025, 100_000, usize::MAX] {
            assert!(rows(steps).is_multiple_of(GROUP) && (GROUP..=MOST_ROWS).contains(&rows(steps)), "{steps}");
        }
    }
}
