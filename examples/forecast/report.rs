//! Formats the results as a table and as a line of JSON.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::baselines::{ETS, PERSISTENCE, RIDGE, SEASONAL, THETA};
use crate::score::{Entry, Scores};
use crate::train::Kept;

/// Difference in standard errors that chance alone reaches in one test of twenty.
const SIGNIFICANT: f64 = -1.645;

/// The name of the network among the entries.
pub const NETWORK: &str = "GRU";

/// Results of the test.
pub struct Report {
    /// The network, then the baselines.
    pub entries: Vec<Entry>,
    /// By how many standard errors the network's squared errors differ from those of the best baseline; negative if
    /// they are smaller.
    pub difference: f64,
    /// Coverage that the intervals are made for.
    pub interval: f64,
    /// By member; empty for a loaded model.
    pub kept: Vec<Kept>,
    pub seconds: f64,
    pub device: String,
}

impl Report {
    /// Says in one line whether the network beats the best baseline, by RMSE and by CRPS, and by more than chance.
    pub fn headline(&self) -> String {
        let found = headline(&self.entries.iter().map(|entry| (&entry.name[..], entry.scores)).collect::<Vec<_>>());
        if found.starts_with(NO_SKILL) {
            return found;
        }
        let errors = format!("squared errors differ by {:.1} standard errors", self.difference.abs());
        match self.difference < SIGNIFICANT {
            true => format!("{found}; {errors}"),
            false => format!("{NO_SKILL} beyond chance: {found}; but {errors}, fewer than {:.1}", -SIGNIFICANT),
        }
    }

    /// Returns the baseline with the smallest RMSE.
    pub fn best_baseline(entries: &[Entry]) -> Option<&Entry> {
        entries[1..].iter().min_by(|a, b| a.scores.rmse.total_cmp(&b.scores.rmse))
    }

    /// Returns a line for each forecast, the best first.
    pub fn table(&self) -> String {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by(|a, b| a.scores.rmse.total_cmp(&b.scores.rmse));
        let reference = self.scores(PERSISTENCE).map_or(f64::NAN, |scores| scores.rmse);
        let mut out = format!(
            "{:<18}{:>9}{:>9}{:>12}{:>16}{:>9}{:>9}{:>10}{:>9}\n",
            "",
            "RMSE",
            "MAE",
            "MSE (std.)",
            "vs persistence",
            "CRPS",
            "pinball",
            format!("in {:.0} %", 100.0 * self.interval),
            "width"
        );
        for Entry { name, scores, .. } in entries {
            let share = 100.0 * (scores.rmse / reference - 1.0);
            let _ = write!(out, "{name:<18}{:>9.3}{:>9.3}", scores.rmse, scores.mae);
            let _ = write!(out, "{:>12.4}{share:>14.1} %", scores.mse_standardized);
            let _ = write!(out, "{:>9.3}{:>9.3}", scores.crps, scores.pinball);
            let _ = writeln!(out, "{:>8.1} %{:>9.3}", 100.0 * scores.coverage, scores.width);
        }
        out
    }

    /// Describes how training ended; `None` for a loaded model.
    pub fn training(&self) -> Option<String> {
        let epochs: Vec<String> = self.kept.iter().map(|k| k.epoch.to_string()).collect();
        let (loss, validation) = (self.mean(|k| k.loss)?, self.mean(|k| k.validation)?);
        Some(format!(
            "{} networks, weights of epoch {}; loss (standardized) train {loss:.6}, validation {validation:.6}",
            epochs.len(),
            epochs.join(", ")
        ))
    }

    fn mean(&self, get: fn(&Kept) -> f32) -> Option<f64> {
        let sum: f64 = self.kept.iter().map(|k| f64::from(get(k))).sum();
        (!self.kept.is_empty()).then(|| sum / self.kept.len() as f64)
    }

    pub fn scores(&self, name: &str) -> Option<&Scores> {
        self.entries.iter().find(|e| e.name == name).map(|e| &e.scores)
    }

    /// Returns the results as one object. Values that could not be measured are null.
    pub fn json(&self) -> Map<String, Value> {
        let number = |v: Option<f64>| v.filter(|v| v.is_finite()).map_or(Value::Null, |v| json!(v));
        let network = self.scores(NETWORK);
        let mut fields = Map::new();
        let mut add = |key: &str, value: Option<f64>| fields.insert(key.into(), number(value));
        add("rmse", network.map(|s| s.rmse));
        add("mae", network.map(|s| s.mae));
        add("mse_standardized", network.map(|s| s.mse_standardized));
        add("crps", network.map(|s| s.crps));
        add("pinball", network.map(|s| s.pinball));
        add("coverage", network.map(|s| s.coverage));
        add("width", network.map(|s| s.width));
        let short =
            [(PERSISTENCE, "persistence"), (RIDGE, "ridge"), (SEASONAL, "seasonal"), (ETS, "ets"), (THETA, "theta")];
        for (name, key) in short {
            add(&format!("{key}_rmse"), self.scores(name).map(|s| s.rmse));
            add(&format!("{key}_crps"), self.scores(name).map(|s| s.crps));
            add(&format!("{key}_coverage"), self.scores(name).map(|s| s.coverage));
        }
        add("train_loss", self.mean(|k| k.loss));
        add("validation_loss", self.mean(|k| k.validation));
        add("seconds", Some(self.seconds));
        add("standard_errors", Some(self.difference));
        fields.insert("device".into(), json!(self.device));
        let beats = network.is_some() && !self.headline().starts_with(NO_SKILL);
        fields.insert("beats_baselines".into(), json!(beats));
        fields
    }
}

/// Start of the headline of a network that does not beat the best baseline.
pub const NO_SKILL: &str = "No skill shown";

/// Says in one line whether the first method beats the best of the others.
pub fn headline(entries: &[(&str, Scores)]) -> String {
    let Some(((network, own), others)) = entries.split_first() else { return String::new() };
    let best = |get: fn(&Scores) -> f64| others.iter().min_by(|a, b| get(&a.1).total_cmp(&get(&b.1)));
    let compare = |what: &str, get: fn(&Scores) -> f64| {
        let (name, other) = best(get)?;
        let (own, other) = (get(own), get(other));
        let change = 100.0 * (own / other - 1.0);
        // Not `own < other`, which would call NaN no better; equal errors show no skill either.
        Some((own < other, format!("{what} {own:.3} against {other:.3} of {name} ({change:+.1} %)")))
    };
    let found = [compare("RMSE", |s| s.rmse), compare("CRPS", |s| s.crps)];
    let [Some((better, rmse)), Some((sharper, crps))] = found else { return String::new() };
    match (better, sharper) {
        (true, true) => format!("{network} beats the best baseline: {rmse}; {crps}"),
        (false, false) => {
            format!("{NO_SKILL}: {network} does not beat the best baseline: {rmse}; {crps}; use the baseline")
        }
        (true, false) => format!("{NO_SKILL} by CRPS: {network} is not better there: {crps}; but {rmse}"),
        (false, true) => format!("{NO_SKILL} by RMSE: {network} is not better there: {rmse}; but {crps}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calibrate::Forecast;
    use crate::score::Actual;

    fn entry(name: &str, point: [f64; 2]) -> Entry {
        let quantiles = point.iter().flat_map(|v| [v - 1.0, v + 1.0]).collect();
        let forecast = Forecast { point: point.to_vec(), quantiles: Some(quantiles) };
        let actual = Actual { values: vec![1.0; 2], deviations: vec![2.0; 2], levels: vec![0.25, 0.75], ends: [0, 1] };
        Entry::new(name, forecast, &actual).unwrap()
    }

    fn report(entries: Vec<Entry>) -> Report {
        Report { entries, difference: -2.0, interval: 0.5, kept: Vec::new(), seconds: 1.5, device: "a \"b\"".into() }
    }

    #[test]
    fn json_is_flat() {
        let report = report(vec![entry(NETWORK, [1.0, 3.0]), entry(PERSISTENCE, [4.0, 5.0])]);
        let json = report.json();
        assert_eq!((json["rmse"].as_f64(), json["mae"].as_f64()), (Some(2f64.sqrt()), Some(1.0)));
        assert_eq!((json["persistence_rmse"].as_f64(), &json["ridge_rmse"]), (Some(12.5f64.sqrt()), &Value::Null));
        assert_eq!((&json["device"], &json["beats_baselines"]), (&json!("a \"b\""), &json!(true)));
        // Scripts find each number by its quoted name.
        assert_eq!(serde_json::to_string(&json).unwrap().matches("\"rmse\":").count(), 1);
        assert!(report.training().is_none());
    }

    #[test]
    fn headline_refuses_to_claim_skill() {
        let (good, bad) = (entry(NETWORK, [1.0, 1.0]), entry(NETWORK, [6.0, 6.0]));
        let others = || vec![entry(PERSISTENCE, [3.0, 3.0]), entry(RIDGE, [2.5, 2.5])];
        let with = |first| report([vec![first], others()].concat());
        let beats = with(good).headline();
        assert!(
            beats.starts_with("GRU beats the best baseline: RMSE 0.000 against 1.500 of ridge regression"),
            "{beats}"
        );
        let refusal = with(bad.clone()).headline();
        assert!(refusal.starts_with("No skill shown: GRU does not beat the best baseline: RMSE 5.000"), "{refusal}");
        assert_eq!(with(bad).json()["beats_baselines"], json!(false));
        let mut lucky = with(entry(NETWORK, [1.0, 1.0]));
        lucky.difference = -1.0;
        assert!(lucky.headline().starts_with("No skill shown beyond chance: GRU beats"), "{}", lucky.headline());
        // Equal is not better.
        assert!(with(entry(NETWORK, [2.5, 2.5])).headline().starts_with(NO_SKILL));
        let scores = |rmse, crps| Scores { rmse, crps, ..entry("", [1.0; 2]).scores };
        let mixed = headline(&[(NETWORK, scores(1.0, 2.0)), (ETS, scores(2.0, 1.0))]);
        assert!(mixed.starts_with("No skill shown by CRPS"), "{mixed}");
    }
}
