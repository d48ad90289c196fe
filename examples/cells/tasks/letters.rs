//! The next character of a text.

use std::collections::BTreeSet;
use std::path::Path;

use super::{ROWS, Task};
use crate::args::TaskName;
use crate::batch::{Batch, Measure, Target, Values};
use crate::common::Result;
use crate::common::files::{fingerprint, read_text};
use crate::model::{Input, Read, Shape};

/// Characters of a sequence.
const STEPS: usize = 64;
/// Numbers of a character's vector.
const WIDTH: usize = 32;
/// Sequences of the validation and of the test.
const HELD_OUT: [usize; 2] = [128, 512];

pub fn task(path: &Path) -> Result<Task> {
    let text = read_text(path)?;
    let characters: BTreeSet<char> = text.chars().collect();
    let names: Vec<char> = characters.into_iter().collect();
    let tokens: Vec<u32> = text.chars().map(|c| names.partition_point(|&name| name < c) as u32).collect();
    let part = tokens.len() / 20;
    if part <= STEPS {
        let (name, least) = (path.display(), 20 * (STEPS + 1));
        return Err(format!("{name}: {} characters, expected at least {least}", tokens.len()).into());
    }
    let (train, rest) = tokens.split_at(tokens.len() - 2 * part);
    let (validation, test) = rest.split_at(part);
    let held_out = |part: &[u32], most: usize| -> Vec<Batch> {
        let starts: Vec<usize> = (0..part.len() - STEPS).step_by(STEPS).take(most).collect();
        starts.chunks(2 * ROWS).map(|starts| batch(part, starts)).collect()
    };
    let (validation, test) = (held_out(validation, HELD_OUT[0]), held_out(test, HELD_OUT[1]));
    let train = train.to_vec();
    Ok(Task {
        name: TaskName::Letters,
        title: "next character of a text".into(),
        shape: Shape {
            input: Input::Tokens { vocabulary: names.len(), width: WIDTH },
            output: names.len(),
            read: Read::Every,
        },
        measure: Measure::Bits,
        threshold: 3.0,
        guess: ("all equally likely", (names.len() as f64).log2()),
        updates: 1500,
        draw: Box::new(move |rng| {
            let starts: Vec<usize> = (0..ROWS).map(|_| rng.below(train.len() - STEPS)).collect();
            batch(&train, &starts)
        }),
        validation,
        test,
        data: fingerprint(text.as_bytes()),
    })
}

/// Returns the sequences that begin at `starts`. The targets are the following characters.
fn batch(tokens: &[u32], starts: &[usize]) -> Batch {
    let at = |shift: usize| {
        (0..STEPS).flat_map(|t| starts.iter().map(move |start| tokens[start + t + shift])).collect::<Vec<u32>>()
    };
    Batch {
        steps: STEPS,
        rows: starts.len(),
        input: Values::Tokens(at(0)),
        lengths: None,
        target: Target::Classes(at(1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_next_characters() {
        let tokens: Vec<u32> = (0..200).collect();
        let batch = batch(&tokens, &[5, 100]);
        let (Values::Tokens(input), Target::Classes(target)) = (&batch.input, &batch.target) else { panic!("types") };
        assert_eq!((input[..4].to_vec(), target[..4].to_vec()), (vec![5, 100, 6, 101], vec![6, 101, 7, 102]));
        assert_eq!((input.len(), target.last()), (2 * STEPS, Some(&164)));
    }

    #[test]
    fn short_texts_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a text.txt");
        std::fs::write(&path, "too short").unwrap();
        let error = task(&path).err().unwrap().to_string();
        assert!(error.contains("a text.txt: 9 characters, expected at least 1300"), "{error}");
        std::fs::write(&path, "ab".repeat(700)).unwrap();
        let task = task(&path).unwrap();
        assert_eq!((task.guess.1, task.shape.output), (1.0, 2));
    }
}
