//! Formats the results as a table and as a line of JSON.

use std::f64::consts::LN_2;
use std::fmt::Write;

use serde_json::json;

/// Results of the example. Figures are per character of the held-out part.
pub struct Report {
    /// `−ln P` in nats.
    pub nats: f64,
    /// The same for n-grams, by length of the history.
    pub ngrams: Vec<f64>,
    pub loss: Option<f32>,
    pub characters: usize,
    pub weights: usize,
    pub seconds: f64,
    pub device: String,
}

impl Report {
    /// Returns the length of the history and the figure of the best n-grams.
    pub fn best(&self) -> (usize, f64) {
        let all = self.ngrams.iter().copied().enumerate();
        all.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f64::NAN))
    }

    /// Returns a sentence that says whether the network is better than the best n-grams, and a line for each.
    pub fn table(&self) -> String {
        let (length, best) = self.best();
        let mut out = match self.nats < best {
            true => format!("The network is better than n-grams, by {:.3} nats per character.\n", best - self.nats),
            false => format!("The network is worse than n-grams after {}: train for longer.\n", name(length)),
        };
        let mut entries: Vec<(String, f64)> = vec![("GRU".into(), self.nats)];
        entries.extend(self.ngrams.iter().enumerate().map(|(length, nats)| (format!("after {}", name(length)), *nats)));
        entries.sort_by(|a, b| a.1.total_cmp(&b.1));
        let _ = writeln!(out, "{:<26}{:>8}{:>8}   per character", "", "nats", "bits");
        for (name, nats) in entries {
            let _ = writeln!(out, "{name:<26}{nats:>8.4}{:>8.4}", nats / LN_2);
        }
        out
    }

    /// Returns one object.
    pub fn json(&self) -> String {
        json!({
            "nats_per_character": self.nats,
            "bits_per_character": self.nats / LN_2,
            "ngram_nats": self.ngrams,
            "train_loss": self.loss,
            "test_characters": self.characters,
            "weights": self.weights,
            "seconds": self.seconds,
            "device": self.device,
        })
        .to_string()
    }
}

/// Names n-grams by the characters before.
pub fn name(length: usize) -> String {
    match length {
        0 => "no character".into(),
        1 => "1 character".into(),
        _ => format!("{length} characters"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_claims_no_more_than_was_measured() {
        let report = |nats| Report {
            nats,
            ngrams: vec![3.0, 2.0, 2.5],
            loss: Some(1.5),
            characters: 10,
            weights: 5,
            seconds: 1.0,
            device: "cpu".into(),
        };
        assert!(report(1.9).table().starts_with("The network is better than n-grams, by 0.100 nats"));
        let worse = report(2.1).table();
        assert!(worse.starts_with("The network is worse than n-grams after 1 character"), "{worse}");
        assert!(worse.lines().nth(2).unwrap().starts_with("after 1 character"), "{worse}");
        let value: serde_json::Value = serde_json::from_str(&report(LN_2).json()).unwrap();
        assert_eq!((value["bits_per_character"].as_f64(), value["ngram_nats"][1].as_f64()), (Some(1.0), Some(2.0)));
    }
}
