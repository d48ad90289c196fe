//! Polarity of sentences: words, and one of two labels.

use std::collections::BTreeSet;
use std::path::Path;

use wgru::Rng;

use super::{PARTS, ROWS, SMALL, Task};
use crate::args::TaskName;
use crate::batch::{Batch, Measure, Target, Values};
use crate::common::Result;
use crate::common::files::{fingerprint, read_text};
use crate::common::table::{self, Labeled};
use crate::common::words::{Unit, Vocabulary};
use crate::model::{Input, Read, Shape};

/// Sentences are cut after this many words.
const LONGEST: usize = 50;
/// Numbers of a word's vector.
const WIDTH: usize = 32;
/// Words that occur less often during training are unknown.
const RARE: usize = 2;

/// A sentence as numbers of its words, at least one, and its class.
type Sentence = (Vec<u32>, u32);

pub fn task(path: &Path, is_small: bool) -> Result<Task> {
    let content = read_text(path)?;
    let source = path.display().to_string();
    let mut rows = table::parse(&source, &content, &[])?;
    let labels: Vec<String> = rows.iter().map(|row| row.label.clone()).collect::<BTreeSet<_>>().into_iter().collect();
    if labels.len() < 2 {
        return Err(format!("{source}: all texts have the label {labels:?}; there must be at least two labels").into());
    }
    Rng::new(PARTS).shuffle(&mut rows);
    let tenth = (rows.len() / 10).max(1);
    let least = 2 * tenth + labels.len();
    if rows.len() < least {
        return Err(format!("{source}: {} texts, expected at least {least}", rows.len()).into());
    }
    let (test, rest) = rows.split_at(tenth);
    let (validation, train) = rest.split_at(tenth);
    let train = if is_small { &train[..(SMALL * train.len() as f64).ceil() as usize] } else { train };
    let words: Vec<Vec<String>> = train.iter().map(|row| Unit::Word.split(&row.text)).collect();
    let vocabulary = Vocabulary::of(words.iter().map(|words| &words[..]), &["<unknown>"], RARE);
    let encode = |row: &Labeled| -> Sentence {
        let mut tokens = vocabulary.encode(&Unit::Word.split(&row.text));
        tokens.truncate(LONGEST);
        if tokens.is_empty() {
            tokens.push(0);
        }
        (tokens, labels.partition_point(|label| *label < row.label) as u32)
    };
    let held_out = |part: &[Labeled]| -> Vec<Batch> {
        let mut sentences: Vec<Sentence> = part.iter().map(encode).collect();
        // Sentences of similar length need less padding.
        sentences.sort_by_key(|(tokens, _)| tokens.len());
        sentences.chunks(2 * ROWS).map(|part| batch(&part.iter().collect::<Vec<_>>())).collect()
    };
    let train: Vec<Sentence> = train.iter().map(encode).collect();
    let (validation, test) = (held_out(validation), held_out(test));
    let most = (0..labels.len() as u32).map(|class| share(&test, class)).fold(0.0, f64::max);
    Ok(Task {
        name: if is_small { TaskName::PolaritySmall } else { TaskName::Polarity },
        title: if is_small { "polarity of sentences, 5 % of the data" } else { "polarity of sentences" }.into(),
        shape: Shape {
            input: Input::Tokens { vocabulary: vocabulary.len(), width: WIDTH },
            output: labels.len(),
            read: Read::Last,
        },
        measure: Measure::Accuracy,
        threshold: if is_small { 0.6 } else { 0.7 },
        guess: ("most frequent label", most),
        updates: if is_small { 400 } else { 600 },
        draw: Box::new(move |rng| batch(&(0..ROWS).map(|_| &train[rng.below(train.len())]).collect::<Vec<_>>())),
        validation,
        test,
        data: fingerprint(content.as_bytes()),
    })
}

/// Returns the share of a class in the targets.
fn share(batches: &[Batch], class: u32) -> f64 {
    let targets = batches.iter().flat_map(|batch| match &batch.target {
        Target::Classes(classes) => &classes[..],
        Target::Numbers(_) => &[],
    });
    let (hits, all) = targets.fold((0, 0), |(hits, all), &target| (hits + usize::from(target == class), all + 1));
    hits as f64 / all as f64
}

fn batch(sentences: &[&Sentence]) -> Batch {
    let lengths: Vec<usize> = sentences.iter().map(|(tokens, _)| tokens.len()).collect();
    let (steps, rows) = (lengths.iter().copied().max().unwrap_or(1), sentences.len());
    let mut tokens = vec![0; steps * rows];
    for (row, (words, _)) in sentences.iter().enumerate() {
        words.iter().enumerate().for_each(|(t, &word)| tokens[t * rows + row] = word);
    }
    let classes = sentences.iter().map(|(_, class)| *class).collect();
    Batch { steps, rows, input: Values::Tokens(tokens), lengths: Some(lengths), target: Target::Classes(classes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_padded_at_their_end() {
        let got = batch(&[&(vec![3, 4, 5], 1), &(vec![6], 0)]);
        let want = Batch {
            steps: 3,
            rows: 2,
            input: Values::Tokens(vec![3, 6, 4, 0, 5, 0]),
            lengths: Some(vec![3, 1]),
            target: Target::Classes(vec![1, 0]),
        };
        assert_eq!(got, want);
    }

    #[test]
    fn a_small_set_has_a_twentieth_of_the_training_texts_and_the_same_test() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a table.tsv");
        let line = |i: usize| format!("{}\tword{} film\n", ["bad", "good"][i % 2], i % 30);
        std::fs::write(&path, (0..1000).map(line).collect::<String>()).unwrap();
        let [all, small] = [false, true].map(|is_small| task(&path, is_small).unwrap());
        let rows = |batches: &[Batch]| batches.iter().map(|batch| batch.rows).sum::<usize>();
        assert_eq!((rows(&small.test), rows(&small.validation)), (100, 100));
        assert_eq!(rows(&all.test), 100);
        let vocabulary = |task: &Task| match task.shape.input {
            Input::Tokens { vocabulary, .. } => vocabulary,
            Input::Features(_) => 0,
        };
        // The word of every text, all others, and the unknown one. 40 texts hold few of them twice.
        assert!(vocabulary(&all) == 32 && vocabulary(&small) < 25, "{}", vocabulary(&small));
        assert!((0.5..0.7).contains(&all.guess.1));
        std::fs::write(&path, "good\ta\ngood\tb\n").unwrap();
        let error = task(&path, false).err().unwrap().to_string();
        assert!(error.contains("a table.tsv") && error.contains("at least two labels"), "{error}");
        std::fs::write(&path, "good\ta\nbad\tb\n").unwrap();
        assert!(task(&path, false).err().unwrap().to_string().contains("2 texts, expected at least 4"));
    }
}
