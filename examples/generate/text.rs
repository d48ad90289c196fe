//! The text, its parts, and windows of it for training.

use std::path::Path;

use wgru::train::{Batch, Data};
use wgru::{Device, Result, Tensor};

use crate::common;
use crate::common::pairs::read;

/// A text in two parts.
pub struct Text {
    pub train: String,
    /// The last tenth.
    pub held_out: String,
}

/// Characters without which nothing can be learned or measured.
const LEAST: usize = 100;

impl Text {
    /// Splits a text at the tenth before its end; `source` names it in errors.
    ///
    /// # Errors
    /// Says how short the text is if it is too short.
    pub fn new(source: &str, text: &str) -> common::Result<Self> {
        let count = text.chars().count();
        if count < LEAST {
            return Err(format!("{source}: {count} characters are too few; at least {LEAST} are needed").into());
        }
        let at = text.char_indices().nth(count * 9 / 10).map_or(text.len(), |(at, _)| at);
        let (train, held_out) = text.split_at(at);
        Ok(Self { train: train.into(), held_out: held_out.into() })
    }

    /// Reads pairs of question and answer, and joins them to a text: question, tab, answer, newline. The last tenth of
    /// the pairs is held out.
    ///
    /// # Errors
    /// Names the file, and the line that is not a pair.
    pub fn of_pairs(path: &Path) -> common::Result<Self> {
        let line = |(question, answer)| format!("{question}\t{answer}\n");
        let pairs: Vec<String> = read(path, ["question", "answer"])?.into_iter().map(line).collect();
        if pairs.len() < 2 {
            return Err(format!("{}: {} pairs are too few; at least 2 are needed", path.display(), pairs.len()).into());
        }
        let (train, held_out) = pairs.split_at(pairs.len() - (pairs.len() / 10).max(1));
        Ok(Self { train: train.concat(), held_out: held_out.concat() })
    }

    /// Shortens the text to `most` characters for training, and a ninth of that for the test.
    pub fn shorten(&mut self, most: usize) {
        let cut = |text: &str, most: usize| text.chars().take(most).collect();
        (self.train, self.held_out) = (cut(&self.train, most), cut(&self.held_out, most / 9));
    }
}

/// A text as rows that are read side by side, in windows: example `w·rows + r` is window `w` of row `r`.
pub struct Rows<'a> {
    device: &'a Device,
    tokens: &'a [u32],
    rows: usize,
    steps: usize,
    windows: usize,
}

impl<'a> Rows<'a> {
    /// Divides at least two tokens into rows and windows of at most these sizes. Up to one window of each row is left
    /// over.
    pub fn new(device: &'a Device, tokens: &'a [u32], rows: usize, steps: usize) -> Self {
        let targets = tokens.len() - 1;
        let steps = steps.min(targets);
        let rows = rows.min(targets / steps);
        Self { device, tokens, rows, steps, windows: targets / rows / steps }
    }

    /// Returns the number of rows, which is the size of a batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the number of updates of an epoch.
    pub fn windows(&self) -> usize {
        self.windows
    }
}

impl Data for Rows<'_> {
    fn len(&self) -> usize {
        self.rows * self.windows
    }

    fn batch(&self, examples: &[usize]) -> Result<Batch> {
        let start = |&example: &usize| (example % self.rows * self.windows + example / self.rows) * self.steps;
        let window = |after: usize| -> Result<Tensor> {
            let tokens: Vec<u32> = examples
                .iter()
                .flat_map(|example| &self.tokens[start(example) + after..][..self.steps])
                .copied()
                .collect();
            Tensor::from_indices(self.device, &tokens, &[examples.len(), self.steps])
        };
        Ok(Batch::new(window(0)?).with_targets(window(1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_a_row_follow_each_other() {
        let (device, tokens) = (Device::cpu(), (0..32).collect::<Vec<u32>>());
        let rows = Rows::new(&device, &tokens, 3, 4);
        // 31 targets: rows of two windows of four.
        assert_eq!((rows.rows(), rows.windows(), rows.len()), (3, 2, 6));
        let [first, second] = [[0, 1, 2], [3, 4, 5]].map(|examples| rows.batch(&examples).unwrap());
        let read = |tensor: &Tensor| tensor.read_indices_blocking().unwrap();
        assert_eq!(read(first.x()), [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19]);
        assert_eq!(read(first.targets()), [1, 2, 3, 4, 9, 10, 11, 12, 17, 18, 19, 20]);
        assert_eq!(read(second.x()), [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23]);
        let small = Rows::new(&device, &tokens[..3], 8, 100);
        assert_eq!((small.rows(), small.steps, small.windows()), (1, 2, 1));
    }

    #[test]
    fn the_last_tenth_is_held_out() {
        let text = "é".repeat(99) + "x";
        let parts = Text::new("t", &text).unwrap();
        assert_eq!((parts.train.chars().count(), parts.held_out), (90, "é".repeat(9) + "x"));
        assert!(Text::new("t.txt", "short").err().unwrap().to_string().contains("t.txt: 5 characters"));
    }

    #[test]
    fn pairs_become_a_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my pairs.tsv");
        std::fs::write(&path, "hi \t hello\n\nwho?\ta GRU\tsource\nbye\tciao").unwrap();
        let parts = Text::of_pairs(&path).unwrap();
        assert_eq!((&*parts.train, &*parts.held_out), ("hi\thello\nwho?\ta GRU\n", "bye\tciao\n"));
        for (content, why) in [("hi\thello\nbye ciao\n", "line 2: no tab"), ("hi\thello\n", "1 pairs are too few")] {
            std::fs::write(&path, content).unwrap();
            let error = Text::of_pairs(&path).err().unwrap().to_string();
            assert!(error.contains(why), "{content:?}: {error}");
        }
    }
}
