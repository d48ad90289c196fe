//! Formats the results as a table and as a line of JSON.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::json;

use crate::data::Example;
use crate::model::Verdict;

/// A word must occur in this many texts of the test to be listed.
const LEAST: usize = 3;

/// Accuracy of a way to classify the test.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: &'static str,
    pub accuracy: f64,
}

pub const NETWORK: &str = "GRU with attention";
pub const BAYES: &str = "naive Bayes";
pub const MAJORITY: &str = "most frequent label";

impl Entry {
    /// Compares predicted classes with those of the examples.
    pub fn new(name: &'static str, predicted: &[usize], test: &[Example]) -> Self {
        let right = predicted.iter().zip(test).filter(|(class, example)| **class == example.class).count();
        Self { name, accuracy: right as f64 / test.len() as f64 }
    }
}

/// A word and the attention that it got.
#[derive(Clone, Debug, PartialEq)]
pub struct Read {
    pub word: String,
    /// Mean weight, relative to equal weights for all words of the text.
    pub weight: f64,
    /// Texts of the test that have it.
    pub texts: usize,
    /// Share of these texts with the label that has most of them, and this class.
    pub share: f64,
    pub class: usize,
}

/// Returns the words that got most attention in the test, relative to equal weights.
pub fn most_read(test: &[Example], verdicts: &[Verdict], classes: usize) -> Vec<Read> {
    /// Number of words listed.
    const LISTED: usize = 12;
    struct Sum {
        weight: f64,
        count: usize,
        texts: Vec<usize>,
        last: usize,
    }
    let mut sums: HashMap<&str, Sum> = HashMap::new();
    for (i, (example, verdict)) in test.iter().zip(verdicts).enumerate() {
        for (word, weight) in example.words.iter().zip(&verdict.weights) {
            let new = || Sum { weight: 0.0, count: 0, texts: vec![0; classes], last: usize::MAX };
            let sum = sums.entry(word).or_insert_with(new);
            sum.weight += f64::from(*weight) * verdict.weights.len() as f64;
            sum.count += 1;
            if sum.last != i {
                sum.texts[example.class] += 1;
                sum.last = i;
            }
        }
    }
    let read = |(word, sum): (&str, Sum)| {
        let texts: usize = sum.texts.iter().sum();
        let class = (0..classes).fold(0, |best, class| if sum.texts[class] > sum.texts[best] { class } else { best });
        let share = sum.texts[class] as f64 / texts as f64;
        Read { word: word.into(), weight: sum.weight / sum.count as f64, texts, share, class }
    };
    let mut all: Vec<Read> = sums.into_iter().map(read).filter(|read| read.texts >= LEAST).collect();
    all.sort_by(|a, b| b.weight.total_cmp(&a.weight).then_with(|| a.word.cmp(&b.word)));
    all.truncate(LISTED);
    all
}

/// Results of the example.
#[derive(Debug)]
pub struct Report {
    /// The network, naive Bayes, and the most frequent label.
    pub entries: Vec<Entry>,
    pub tests: usize,
    pub loss: Option<f32>,
    /// The epoch whose weights were kept, counted from 1.
    pub epoch: usize,
    pub weights: usize,
    pub seconds: f64,
    pub device: String,
}

impl Report {
    /// Returns a sentence that says whether the network is better than the best baseline, and a line for each way to
    /// classify, the best first.
    pub fn table(&self) -> String {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by(|a, b| b.accuracy.total_cmp(&a.accuracy));
        let network = self.accuracy(NETWORK);
        let best = entries.iter().find(|entry| entry.name != NETWORK).map_or(f64::NAN, |entry| entry.accuracy);
        let others: Vec<&str> = entries.iter().filter(|e| e.name != NETWORK).map(|e| e.name).collect();
        let other = others.first().copied().unwrap_or_default();
        let mut out = match network - best {
            gain if gain > self.error(best) => format!("The network is better than {other}.\n"),
            gain if gain >= -self.error(best) => {
                format!("The network is about as good as {other}: the difference is within the standard error.\n")
            }
            _ => format!("The network is worse than {other}: use {other} for these texts.\n"),
        };
        let _ = writeln!(out, "{:<22}{:>9}", "", "accuracy");
        for Entry { name, accuracy } in entries {
            let _ = writeln!(out, "{name:<22}{:>7.2} % ± {:.2}", 100.0 * accuracy, 100.0 * self.error(*accuracy));
        }
        out
    }

    /// Returns the standard error of an accuracy.
    fn error(&self, accuracy: f64) -> f64 {
        (accuracy * (1.0 - accuracy) / self.tests as f64).sqrt()
    }

    pub fn accuracy(&self, name: &str) -> f64 {
        self.entries.iter().find(|entry| entry.name == name).map_or(f64::NAN, |entry| entry.accuracy)
    }

    /// Returns one object.
    pub fn json(&self) -> String {
        json!({
            "accuracy": self.accuracy(NETWORK),
            "naive_bayes_accuracy": self.accuracy(BAYES),
            "majority_accuracy": self.accuracy(MAJORITY),
            "test_texts": self.tests,
            "train_loss": self.loss,
            "epoch": self.epoch,
            "weights": self.weights,
            "seconds": self.seconds,
            "device": self.device,
        })
        .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(network: f64) -> Report {
        let entry = |name, accuracy| Entry { name, accuracy };
        Report {
            entries: vec![entry(NETWORK, network), entry(BAYES, 0.8), entry(MAJORITY, 0.5)],
            tests: 400,
            loss: Some(0.25),
            epoch: 3,
            weights: 10,
            seconds: 1.5,
            device: "a \"b\"".into(),
        }
    }

    #[test]
    fn the_first_line_claims_no_more_than_was_measured() {
        // The standard error is 2 %.
        for (accuracy, words) in [(0.83, "is better than naive Bayes"), (0.79, "about as good"), (0.7, "is worse than")]
        {
            let table = report(accuracy).table();
            assert!(table.lines().next().unwrap().contains(words), "{table}");
        }
        assert!(report(0.7).table().lines().nth(2).unwrap().starts_with(BAYES));
        let value: serde_json::Value = serde_json::from_str(&report(0.7).json()).unwrap();
        assert_eq!((&value["accuracy"], &value["naive_bayes_accuracy"]), (&json!(0.7), &json!(0.8)));
    }

    #[test]
    fn words_are_ranked_by_their_attention() {
        let example = |words: &[&str], class| Example {
            class,
            words: words.iter().map(|word| word.to_string()).collect(),
            tokens: Vec::new(),
        };
        let verdict = |weights: &[f32]| Verdict { probabilities: Vec::new(), weights: weights.to_vec() };
        let test = [example(&["a", "fun"], 1), example(&["a", "fun", "a", "x"], 1), example(&["fun", "a"], 0)];
        let verdicts = [verdict(&[0.25, 0.75]), verdict(&[0.25, 0.5, 0.25, 0.0]), verdict(&[1.0, 0.0])];
        let read = most_read(&test, &verdicts, 2);
        let names: Vec<&str> = read.iter().map(|read| read.word.as_str()).collect();
        assert_eq!(names, ["fun", "a"]);
        assert!((read[0].weight - (1.5 + 2.0 + 2.0) / 3.0).abs() < 1e-9 && (read[1].weight - 2.5 / 4.0).abs() < 1e-9);
        assert_eq!((read[0].texts, read[0].class), (3, 1));
        assert!((read[0].share - 2.0 / 3.0).abs() < 1e-9);
    }
}
