//! The guide: programs to start from, and the choices behind them.
//!
//! [`sequences`]: mod@sequences
//! [`cells`]: mod@cells
//! [`training`]: mod@training
//! [`forecasting`]: mod@forecasting
//! [`text`]: mod@text
//! [`models`]: mod@models
//! [`streaming`]: mod@streaming
//! [`performance`]: mod@performance
//! [`embedding`]: mod@embedding
//! [`hosts`]: mod@hosts
//! [`browsers`]: mod@browsers
//! [`pytorch`]: mod@pytorch
//! [`keras`]: mod@keras
//! [`burn`]: mod@burn
#![doc = include_str!("../docs/guide/README.md")]

/// Declares a page: the file `docs/guide/NAME.md`, after the definition of its picture. `scripts/guide-pictures.sh`
/// writes the definition. A failed test is reported in `NAME.svg.md` instead, with a line number that is one too high.
macro_rules! page {
    ($name:ident, $needs:meta, $features:literal) => {
        #[cfg_attr($needs, doc = include_str!(concat!("../docs/guide/", stringify!($name), ".svg.md")))]
        #[cfg_attr($needs, doc = include_str!(concat!("../docs/guide/", stringify!($name), ".md")))]
        #[cfg_attr(not($needs), doc = concat!("This page is in the documentation with the ", $features, "."))]
        pub mod $name {}
    };
}

page!(sequences, feature = "autograd", "feature `autograd`");
page!(cells, feature = "autograd", "feature `autograd`");
page!(training, feature = "autograd", "feature `autograd`");
page!(forecasting, feature = "autograd", "feature `autograd`");
page!(text, feature = "autograd", "feature `autograd`");
page!(models, feature = "autograd", "feature `autograd`");
page!(streaming, feature = "autograd", "feature `autograd`");
page!(performance, all(feature = "gpu", feature = "autograd"), "features `gpu` and `autograd`");
page!(embedding, all(feature = "gpu", feature = "autograd"), "features `gpu` and `autograd`");
page!(hosts, all(feature = "gpu", feature = "autograd"), "features `gpu` and `autograd`");
page!(browsers, feature = "gpu", "feature `gpu`");
page!(pytorch, feature = "autograd", "feature `autograd`");
page!(keras, feature = "autograd", "feature `autograd`");
page!(burn, feature = "autograd", "feature `autograd`");

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    /// The pages, by name.
    fn pages() -> Vec<(String, String)> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/guide");
        let files = fs::read_dir(folder).expect("the folder of the guide").map(|entry| entry.expect("an entry").path());
        let of_page = |path: &PathBuf| path.to_str().is_some_and(|p| p.ends_with(".md") && !p.ends_with(".svg.md"));
        let read = |path: PathBuf| {
            let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_string();
            (name, fs::read_to_string(path).expect("a page"))
        };
        files.filter(of_page).map(read).filter(|(name, _)| name != "README").collect()
    }

    /// Counts the lines of a listing without comments, blank lines and lines that documentation hides.
    fn lines(listing: &str) -> usize {
        let shown = |line: &&str| !line.is_empty() && !line.starts_with('#') && !line.starts_with("//");
        listing.lines().map(str::trim).filter(shown).count()
    }

    #[test]
    fn programs_are_at_most_half_again_as_long_as_in_pytorch() {
        let mut compared = 0;
        for (name, page) in pages() {
            let parts: Vec<&str> = page.split("The same in PyTorch").collect();
            for pair in parts.windows(2) {
                let listing = |part: &str, fence: &str| {
                    part.rsplit(fence).next().and_then(|rest| rest.split("```").next()).map(lines)
                };
                let ours = listing(pair[0], "```rust\n").expect("a program");
                let theirs = pair[1].split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
                let theirs = lines(theirs.expect("its counterpart"));
                assert!(theirs > 10 && 2 * ours <= 3 * theirs, "{name}: {ours} lines, PyTorch {theirs}");
                compared += 1;
            }
        }
        assert_eq!(compared, 4);
    }

    /// As `scripts/guide-pictures.sh` writes it.
    fn definition(picture: &str) -> String {
        let lines: Vec<&str> = picture.lines().map(|line| line.trim_start_matches(' ')).collect();
        let escaped = [("%", "%25"), ("#", "%23"), ("&", "%26"), ("<", "%3C"), (">", "%3E")]
            .into_iter()
            .fold(lines.join(" "), |text, (from, to)| text.replace(from, to));
        format!("[picture]: <data:image/svg+xml,{escaped}>\n")
    }

    #[test]
    fn every_page_shows_its_picture() {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/guide");
        for (name, page) in pages() {
            let read = |end: &str| {
                let path = folder.join(format!("{name}{end}"));
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            };
            assert_eq!(page.matches("][picture]").count(), 1, "{name}: one picture");
            assert!(page.ends_with(&format!("\n[picture]: {name}.svg\n")), "{name}: its file, for the repository");
            let is_current = read(".svg.md") == definition(&read(".svg"));
            assert!(is_current, "{name}.svg has changed: run scripts/guide-pictures.sh");
        }
    }

    #[test]
    fn the_index_lists_every_page() {
        let index = include_str!("../docs/guide/README.md");
        let listed: Vec<&str> = index
            .lines()
            .filter_map(|line| line.strip_prefix("| [`")?.split_once("`] |"))
            .map(|(name, _)| name)
            .collect();
        let (pages, unique): (BTreeSet<String>, BTreeSet<String>) =
            (pages().into_iter().map(|(name, _)| name).collect(), listed.iter().map(|name| name.to_string()).collect());
        assert_eq!((&unique, listed.len()), (&pages, pages.len()));
        let declared: BTreeSet<String> = include_str!("guide.rs")
            .lines()
            .filter_map(|line| line.strip_prefix("page!(")?.split_once(','))
            .map(|(name, _)| name.to_string())
            .collect();
        assert_eq!(declared, pages);
    }
}
