//! The guide: programs to start from, each with its PyTorch counterpart.

#[cfg(feature = "autograd")]
#[doc = include_str!("../docs/guide/cells.md")]
pub mod cells {}

#[cfg(feature = "autograd")]
#[doc = include_str!("../docs/guide/forecasting.md")]
pub mod forecasting {}

#[doc = include_str!("../docs/guide/pytorch.md")]
pub mod pytorch {}

#[cfg(feature = "autograd")]
#[doc = include_str!("../docs/guide/streaming.md")]
pub mod streaming {}

#[cfg(feature = "autograd")]
#[doc = include_str!("../docs/guide/text.md")]
pub mod text {}

#[cfg(test)]
mod tests {
    /// Counts the lines of a listing without comments, blank lines and lines that documentation hides.
    fn lines(listing: &str) -> usize {
        let shown = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("//");
        listing.lines().map(str::trim).filter(shown).count()
    }

    #[test]
    fn programs_are_at_most_half_again_as_long_as_in_pytorch() {
        let pages = [
            include_str!("../docs/guide/cells.md"),
            include_str!("../docs/guide/streaming.md"),
            include_str!("../docs/guide/text.md"),
        ];
        let mut compared = 0;
        for page in pages {
            let parts: Vec<&str> = page.split("The same in PyTorch").collect();
            for pair in parts.windows(2) {
                let listing =
                    |part: &'static str, fence| part.rsplit(fence).next().and_then(|rest| rest.split("```").next());
                let ours = lines(listing(pair[0], "```rust\n").expect("a program"));
                let theirs = pair[1].split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
                let theirs = lines(theirs.expect("its counterpart"));
                assert!(theirs > 10 && 2 * ours <= 3 * theirs, "{ours} lines, PyTorch {theirs}");
                compared += 1;
            }
        }
        assert_eq!(compared, 4);
    }
}
