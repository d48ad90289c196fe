//! Formats the results as a table and as a line of JSON.

use std::fmt::Write;

use serde_json::json;

use crate::bleu::Bleu;
use crate::data::Held;

pub const NEIGHBOR: &str = "most similar source";

/// Figures of a way to translate the test.
#[derive(Clone, Debug)]
pub struct Entry {
    pub name: String,
    /// With all references of a source.
    pub bleu: Bleu,
    /// With only the first reference of a source.
    pub one_reference: Bleu,
    /// Share of translations that are one of the references.
    pub right: f64,
}

impl Entry {
    /// Compares translations with the references of the test, in order.
    pub fn new(name: impl Into<String>, translations: &[String], test: &[Held]) -> Self {
        let both = || translations.iter().zip(test);
        let right = both().filter(|(text, held)| held.references.contains(text)).count();
        Self {
            name: name.into(),
            bleu: Bleu::of(both().map(|(text, held)| (&text[..], &held.references[..]))),
            one_reference: Bleu::of(both().map(|(text, held)| (&text[..], &held.references[..1]))),
            right: right as f64 / test.len() as f64,
        }
    }
}

/// Results of the example.
pub struct Report {
    pub beam: Entry,
    pub greedy: Entry,
    pub neighbor: Entry,
    pub pairs: usize,
    pub tests: usize,
    pub references: usize,
    /// In nats per token.
    pub loss: Option<f32>,
    pub held_out_loss: Option<f32>,
    pub updates: u64,
    pub seconds_per_update: f64,
    pub weights: usize,
    pub seconds: f64,
    pub device: String,
}

impl Report {
    /// Returns a sentence that says whether the network is better than the most similar source, and a line for each way
    /// to translate.
    pub fn table(&self) -> String {
        let gain = self.beam.bleu.score - self.neighbor.bleu.score;
        let than = "the translation of the most similar known source";
        let mut out = match gain > 0.0 {
            true => format!("The network is better than {than}, by {gain:.1} BLEU.\n"),
            false => format!("The network is not better than {than}: train for longer, or on more pairs.\n"),
        };
        let _ = writeln!(out, "{:<22}{:>8}{:>16}{:>11}", "", "BLEU", "one reference", "right");
        for Entry { name, bleu, one_reference, right } in [&self.beam, &self.greedy, &self.neighbor] {
            let (bleu, one) = (bleu.score, one_reference.score);
            let _ = writeln!(out, "{name:<22}{bleu:>8.2}{one:>16.2}{:>9.1} %", 100.0 * right);
        }
        let [a, b, c, d] = self.beam.bleu.precisions;
        let brevity = self.beam.bleu.brevity;
        let parts = format!("precisions {a:.1}/{b:.1}/{c:.1}/{d:.1}, brevity {brevity:.3}");
        let _ = writeln!(out, "{} sources, {} references; {}: {parts}", self.tests, self.references, self.beam.name);
        out
    }

    /// Returns one object.
    pub fn json(&self) -> String {
        json!({
            "bleu": self.beam.bleu.score,
            "bleu_one_reference": self.beam.one_reference.score,
            "right": self.beam.right,
            "greedy_bleu": self.greedy.bleu.score,
            "most_similar_bleu": self.neighbor.bleu.score,
            "pairs": self.pairs,
            "test_sources": self.tests,
            "test_references": self.references,
            "train_loss": self.loss,
            "held_out_loss": self.held_out_loss,
            "updates": self.updates,
            "seconds_per_update": self.seconds_per_update,
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

    #[test]
    fn the_first_line_claims_no_more_than_was_measured() {
        let test = vec![Held { source: "a".into(), references: vec!["one two three four".into(), "five".into()] }];
        let entry = |text: &str| Entry::new("way", &[text.to_string()], &test);
        let report = |beam: &str, neighbor: &str| Report {
            beam: entry(beam),
            greedy: entry(beam),
            neighbor: entry(neighbor),
            pairs: 1,
            tests: 1,
            references: 2,
            loss: Some(0.5),
            held_out_loss: None,
            updates: 7,
            seconds_per_update: 0.1,
            weights: 10,
            seconds: 1.5,
            device: "a \"b\"".into(),
        };
        let good = report("one two three four", "five");
        assert!(good.table().starts_with("The network is better") && good.table().contains("100.0 BLEU"));
        assert!(report("five", "one two three four").table().starts_with("The network is not better"));
        let value: serde_json::Value = serde_json::from_str(&good.json()).unwrap();
        assert_eq!((value["right"].as_f64(), value["updates"].as_u64()), (Some(1.0), Some(7)));
        assert!((value["bleu"].as_f64().unwrap() - 100.0).abs() < 1e-9);
        // Any reference is right, but only the first counts for the other figure.
        assert_eq!((entry("five").right, entry("five").one_reference.score), (1.0, 0.0));
    }
}
