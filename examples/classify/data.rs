//! Tokens, vocabulary, and the split of the texts.

use std::collections::{BTreeMap, BTreeSet};

use wgru::Rng;

use crate::common::Result;
use crate::common::table::Labeled;
use crate::common::words::{Unit, Vocabulary};

/// The token of unknown words, which also replaces words at random during training.
pub const UNKNOWN: u32 = 0;
/// The special tokens of a vocabulary.
pub const SPECIAL: [&str; 1] = ["<unknown>"];
/// A word that occurs less often than this during training is unknown.
const RARE: usize = 2;

/// A text as tokens, for the network and for naive Bayes.
#[derive(Clone, Debug)]
pub struct Example {
    pub class: usize,
    pub words: Vec<String>,
    /// The words' numbers, at most as many as the longest text may have.
    pub tokens: Vec<u32>,
}

/// The texts in three parts, and what their tokens and classes mean.
pub struct Data {
    /// Names of the classes, in alphabetical order.
    pub labels: Vec<String>,
    pub unit: Unit,
    pub vocabulary: Vocabulary,
    pub train: Vec<Example>,
    pub validation: Vec<Example>,
    pub test: Vec<Example>,
    /// Number of texts that are longer than the longest allowed.
    pub cut: usize,
}

/// How a table becomes data.
#[derive(Clone, Copy, Debug)]
pub struct Split {
    pub unit: Unit,
    pub longest: usize,
    /// Maximum number of texts, drawn at random.
    pub most: usize,
    /// Number of texts for validation.
    pub validation: usize,
}

impl Data {
    /// Splits texts at random: a tenth is the test. Equal texts are in only one of the parts. The vocabulary is that of
    /// the training part.
    ///
    /// # Errors
    /// Says what is missing if there are fewer than two labels, or too few texts.
    pub fn new(rows: &[Labeled], split: Split, rng: &mut Rng) -> Result<Self> {
        let mut groups: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
        for row in rows {
            let words = split.unit.split(&row.text);
            groups.entry(words).or_default().push(&row.label);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        rng.shuffle(&mut groups);
        groups.truncate(split.most);
        let labels: BTreeSet<&str> = groups.iter().flat_map(|(_, labels)| labels).copied().collect();
        let labels: Vec<String> = labels.into_iter().map(String::from).collect();
        if labels.len() < 2 {
            return Err(format!("all texts have the label {labels:?}; there must be at least two labels").into());
        }
        let (test, validation) = ((groups.len() / 10).max(1), split.validation);
        if groups.len() < test + validation + labels.len() {
            let found = groups.len();
            return Err(format!("{found} different texts are too few to train on, with {test} for the test").into());
        }
        let (test, rest) = groups.split_at(test);
        let (validation, train) = rest.split_at(validation);
        let least = if split.unit == Unit::Word { RARE } else { 1 };
        let vocabulary = Vocabulary::of(train.iter().map(|(words, _)| &words[..]), &SPECIAL, least);
        let examples = |part: &[(Vec<String>, Vec<&str>)]| -> Vec<Example> {
            let class = |label: &str| labels.partition_point(|known| known.as_str() < label);
            let one = |(words, labels): &(Vec<String>, Vec<&str>)| {
                let tokens = vocabulary.encode(&words[..words.len().min(split.longest)]);
                let example =
                    |label: &&str| Example { class: class(label), words: words.clone(), tokens: tokens.clone() };
                labels.iter().map(example).collect::<Vec<_>>()
            };
            part.iter().flat_map(one).collect()
        };
        let (train, validation, test) = (examples(train), examples(validation), examples(test));
        let cut = groups.iter().filter(|(words, _)| words.len() > split.longest).count();
        Ok(Self { unit: split.unit, labels, train, validation, test, cut, vocabulary })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Labeled> {
        let row = |i: usize| Labeled { label: ["b", "a", "c"][i % 3].into(), text: format!("word{} the", i % 50) };
        (0..150).map(row).collect()
    }

    const SPLIT: Split = Split { unit: Unit::Word, longest: 200, most: usize::MAX, validation: 5 };

    #[test]
    fn equal_texts_are_in_one_part_only() {
        let data = Data::new(&rows(), SPLIT, &mut Rng::new(1)).unwrap();
        assert_eq!(data.labels, ["a", "b", "c"]);
        assert_eq!((data.test.len(), data.validation.len(), data.train.len()), (15, 15, 120));
        let parts = [&data.train, &data.validation, &data.test];
        for (i, part) in parts.iter().enumerate() {
            let others = parts.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, part)| part.iter());
            let words: BTreeSet<&[String]> = others.map(|example| &example.words[..]).collect();
            assert!(part.iter().all(|example| !words.contains(&example.words[..])));
        }
        // Equal texts count once, so all words but one are rare.
        assert_eq!(data.vocabulary.names(), ["<unknown>", "the"]);
        assert!(data.test.iter().all(|example| example.tokens[0] == UNKNOWN && example.tokens[1] != UNKNOWN));
        let classes: Vec<usize> = data.train.iter().map(|example| example.class).collect();
        assert!((0..3).all(|class| classes.iter().filter(|&&c| c == class).count() == 40));
    }

    #[test]
    fn long_texts_are_cut() {
        let data = Data::new(&rows(), Split { longest: 1, ..SPLIT }, &mut Rng::new(1)).unwrap();
        assert_eq!(data.cut, 50);
        assert!(data.train.iter().all(|example| example.tokens.len() == 1 && example.words.len() == 2));
    }

    #[test]
    fn too_little_data_is_an_error() {
        let one = vec![Labeled { label: "a".into(), text: "b".into() }; 30];
        assert!(Data::new(&one, SPLIT, &mut Rng::new(1)).err().unwrap().to_string().contains("two labels"));
        let few = Data::new(&rows(), Split { most: 6, ..SPLIT }, &mut Rng::new(1)).err().unwrap().to_string();
        assert!(few.contains("6 different texts"), "{few}");
    }
}
