//! The split of the pairs, and the examples for training.

use std::collections::BTreeMap;

use wgru::train::{Batch, Data};
use wgru::{Device, Rng, Tensor};

use crate::common;

/// A source of the test, with all of its translations.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    pub source: String,
    /// Distinct, in the order of the file; at least one.
    pub references: Vec<String>,
}

/// Which pairs are used.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// Most words on either side.
    pub max_words: usize,
    /// Most sources.
    pub most: usize,
    /// Sources of the test.
    pub test: usize,
}

/// Pairs to train on, and sources to test on.
pub struct Parts {
    pub train: Vec<(String, String)>,
    pub test: Vec<Held>,
}

impl Parts {
    /// Draws sources at random and holds some out for the test, each with all of its targets.
    ///
    /// Sources that differ only in case and punctuation are in the same part. Of those held out, only the first
    /// spelling is tested.
    ///
    /// # Errors
    /// Says how many sources there are if they are too few.
    pub fn new(pairs: &[(String, String)], selection: Selection, rng: &mut Rng) -> common::Result<Self> {
        let Selection { max_words, most, test } = selection;
        let words = |text: &str| text.split_whitespace().count();
        let mut groups: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (source, target) in pairs {
            if words(source).max(words(target)) <= max_words {
                groups.entry(plain(source)).or_default().push((source.clone(), target.clone()));
            }
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        rng.shuffle(&mut groups);
        groups.truncate(most);
        if groups.len() / 2 < test {
            let found = groups.len();
            let way_out = "see --max-words, --most and --test";
            return Err(
                format!("{found} sources of at most {max_words} words, too few to test on {test}; {way_out}").into()
            );
        }
        let train = groups.split_off(test).into_iter().flatten().collect();
        let held = |group: Vec<(String, String)>| {
            let source = group[0].0.clone();
            let mut references: Vec<String> = Vec::new();
            for (_, target) in group.into_iter().filter(|(other, _)| *other == source) {
                if !references.contains(&target) {
                    references.push(target);
                }
            }
            Held { source, references }
        };
        Ok(Self { train, test: groups.into_iter().map(held).collect() })
    }

    /// Describes the parts in a line.
    pub fn describe(&self) -> String {
        let references: usize = self.test.iter().map(|held| held.references.len()).sum();
        let (train, test) = (self.train.len(), self.test.len());
        format!("{train} pairs to train on, {test} sources to test on, with {references} references")
    }
}

/// Returns the words of a text in lower case, without punctuation. A text without words stays as it is.
pub fn plain(text: &str) -> String {
    let words: Vec<String> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    if words.is_empty() { text.into() } else { words.join(" ") }
}

/// Source and target as tokens.
#[derive(Clone, Debug)]
pub struct Pair {
    pub source: Vec<u32>,
    pub target: Vec<u32>,
}

/// Pairs for a trainer. Their lengths differ, so the step looks them up by index.
pub struct Examples<'a> {
    pub device: &'a Device,
    pub pairs: &'a [Pair],
}

impl Data for Examples<'_> {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Returns a number by which examples are sorted into batches: the length of the target, then that of the source.
    /// Sorted so, both sides have little padding.
    fn length(&self, example: usize) -> Option<usize> {
        let Pair { source, target } = &self.pairs[example];
        Some((target.len() << 16) + source.len().min(0xffff))
    }

    fn batch(&self, examples: &[usize]) -> wgru::Result<Batch> {
        let indices: Vec<u32> = examples.iter().map(|&example| example as u32).collect();
        Ok(Batch::new(Tensor::from_indices(self.device, &indices, &[examples.len()])?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(texts: &[[&str; 2]]) -> Vec<(String, String)> {
        texts.iter().map(|[source, target]| (source.to_string(), target.to_string())).collect()
    }

    const ALL: Selection = Selection { max_words: 10, most: usize::MAX, test: 1 };

    #[test]
    fn a_source_is_in_one_part_only() {
        let all: Vec<(String, String)> =
            (0..60).map(|i| (format!("{}{}", ["A", "a"][i % 2], i / 2 % 20), format!("t{}", i / 2))).collect();
        let parts = Parts::new(&all, Selection { test: 5, ..ALL }, &mut Rng::new(1)).unwrap();
        assert_eq!(parts.test.len(), 5);
        let in_train: Vec<String> = parts.train.iter().map(|(source, _)| plain(source)).collect();
        assert!(parts.test.iter().all(|held| !in_train.contains(&plain(&held.source))));
        // Every pair of the other sources is there.
        let held = |source: &str| parts.test.iter().any(|held| plain(&held.source) == plain(source));
        assert_eq!(parts.train.len(), all.iter().filter(|(source, _)| !held(source)).count());
        assert!(Parts::new(&all, Selection { test: 11, ..ALL }, &mut Rng::new(1)).is_err());
    }

    #[test]
    fn all_targets_of_a_source_are_references() {
        let group = pairs(&[["Go on!", "Va !"], ["Go on.", "Vas-y."], ["Go on!", "Allez !"], ["Go on!", "Va !"]]);
        let all = [group, pairs(&[["a b c", "d"], ["e", "f g h"]])].concat();
        let found: Vec<Held> = (0..20)
            .map(|seed| Parts::new(&all, ALL, &mut Rng::new(seed)).unwrap())
            .filter(|parts| parts.test[0].source == "Go on!")
            .map(|parts| {
                assert_eq!(parts.train.len(), 2);
                parts.test[0].clone()
            })
            .collect();
        assert_eq!(found[0].references, ["Va !", "Allez !"]);
        let few = Parts::new(&all, Selection { max_words: 2, ..ALL }, &mut Rng::new(1)).err().unwrap().to_string();
        assert!(few.contains("1 sources of at most 2 words"), "{few}");
    }

    #[test]
    fn examples_are_sorted_by_target_then_source() {
        let pair = |source, target| Pair { source: vec![0; source], target: vec![0; target] };
        let pairs = [pair(9, 2), pair(1, 3), pair(70_000, 2), pair(3, 2)];
        let examples = Examples { device: &Device::cpu(), pairs: &pairs };
        let mut order = [0, 1, 2, 3];
        order.sort_by_key(|&example| examples.length(example));
        assert_eq!(order, [3, 0, 2, 1]);
        assert_eq!(examples.batch(&[2, 0]).unwrap().x().read_indices_blocking().unwrap(), [2, 0]);
    }

    #[test]
    fn plain_texts_have_neither_case_nor_punctuation() {
        for (text, want) in [("I'm  OK!", "i m ok"), ("3/5/87", "3 5 87"), ("Ça ?", "ça"), ("?!", "?!")] {
            assert_eq!(plain(text), want);
        }
    }
}
