//! Formats the results as a table and as a line of JSON.

use std::fmt::Write;

use crate::model::Kept;

/// A forecast of the test part, and its errors in the series' units.
pub struct Entry {
    pub name: String,
    /// `horizon` values for each origin.
    pub forecast: Vec<f64>,
    pub rmse: f64,
    pub mae: f64,
}

impl Entry {
    /// Measures a forecast against the actual values.
    pub fn new(name: impl Into<String>, forecast: Vec<f64>, actual: &[f64]) -> Self {
        let count = actual.len() as f64;
        let errors = || forecast.iter().zip(actual).map(|(f, a)| f - a);
        let rmse = (errors().map(|e| e * e).sum::<f64>() / count).sqrt();
        let mae = errors().map(f64::abs).sum::<f64>() / count;
        Self { name: name.into(), forecast, rmse, mae }
    }
}

/// Results of the example.
pub struct Report {
    /// The network and persistence, then ridge regression and seasonal naive where applicable.
    pub entries: Vec<Entry>,
    /// Standard deviation of the training part.
    pub deviation: f64,
    /// By member; empty for a loaded model.
    pub kept: Vec<Kept>,
    pub seconds: f64,
    pub device: String,
}

/// The names of [`Report::entries`].
pub const NETWORK: &str = "GRU";
pub const PERSISTENCE: &str = "persistence";
pub const SEASONAL: &str = "seasonal naive";
pub const RIDGE: &str = "ridge regression";

impl Report {
    /// Returns a line for each forecast, the best first.
    pub fn table(&self) -> String {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by(|a, b| a.rmse.total_cmp(&b.rmse));
        let reference = self.entry(PERSISTENCE).map_or(f64::NAN, |e| e.rmse);
        let mut out = format!("{:<18}{:>9}{:>9}{:>13}{:>17}\n", "", "RMSE", "MAE", "MSE (std.)", "vs persistence");
        for e in entries {
            let (mse, share) = ((e.rmse / self.deviation).powi(2), 100.0 * (e.rmse / reference - 1.0));
            let _ = writeln!(out, "{:<18}{:>9.3}{:>9.3}{:>13.4}{:>15.1} %", e.name, e.rmse, e.mae, mse, share);
        }
        out
    }

    /// Describes how training ended; `None` for a loaded model.
    pub fn training(&self) -> Option<String> {
        let epochs: Vec<String> = self.kept.iter().map(|k| k.epoch.to_string()).collect();
        let (loss, validation) = (self.mean(|k| k.loss)?, self.mean(|k| k.validation)?);
        Some(format!(
            "{} networks, weights of epoch {}; loss (MSE, standardized) train {loss:.6}, validation {validation:.6}",
            epochs.len(),
            epochs.join(", ")
        ))
    }

    fn mean(&self, get: fn(&Kept) -> f32) -> Option<f64> {
        let sum: f64 = self.kept.iter().map(|k| f64::from(get(k))).sum();
        (!self.kept.is_empty()).then(|| sum / self.kept.len() as f64)
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == name)
    }

    /// Returns one object. Values that could not be measured are null.
    pub fn json(&self) -> String {
        let number = |v: Option<f64>| v.filter(|v| v.is_finite()).map_or("null".to_string(), |v| v.to_string());
        let rmse = |name| number(self.entry(name).map(|e| e.rmse));
        let network = self.entry(NETWORK);
        let fields = [
            ("rmse", number(network.map(|e| e.rmse))),
            ("mae", number(network.map(|e| e.mae))),
            ("mse_standardized", number(network.map(|e| (e.rmse / self.deviation).powi(2)))),
            ("persistence_rmse", rmse(PERSISTENCE)),
            ("ridge_rmse", rmse(RIDGE)),
            ("seconds", number(Some(self.seconds))),
            ("device", serde_json::json!(self.device).to_string()),
            ("seasonal_rmse", rmse(SEASONAL)),
            ("train_loss", number(self.mean(|k| k.loss))),
            ("validation_loss", number(self.mean(|k| k.validation))),
        ];
        let fields: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_fields_in_order() {
        let entries = vec![
            Entry::new(NETWORK, vec![1.0, 3.0], &[1.0, 1.0]),
            Entry::new(PERSISTENCE, vec![4.0, 5.0], &[1.0, 1.0]),
        ];
        let report = Report { entries, deviation: 2.0, kept: Vec::new(), seconds: 1.5, device: "a \"b\"".into() };
        let want = "{\"rmse\":1.4142135623730951,\"mae\":1,\"mse_standardized\":0.5000000000000001,\
                    \"persistence_rmse\":3.5355339059327378,\"ridge_rmse\":null,\"seconds\":1.5,\
                    \"device\":\"a \\\"b\\\"\",\"seasonal_rmse\":null,\"train_loss\":null,\"validation_loss\":null}";
        assert_eq!(report.json(), want);
        assert!(serde_json::from_str::<serde_json::Value>(want).is_ok());
        assert!(report.training().is_none());
    }
}
