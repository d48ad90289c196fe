//! Inputs that are constant within a series: which series it is, and static columns.

use serde_json::{Value, json};
use wgru::Result;

use crate::common::files::refuse;
use crate::series::Series;
use crate::transform::Scale;

/// Features that distinguish several series. Empty for a table with one series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statics {
    /// The column that names the series, and their names.
    names: Option<(String, Vec<String>)>,
    columns: Vec<(String, Static)>,
}

/// How a static column becomes inputs.
#[derive(Clone, Debug, PartialEq)]
enum Static {
    Number(Scale),
    /// One input for each.
    Categories(Vec<String>),
}

impl Statics {
    /// Learns the names of the series, and the values of static columns.
    pub fn of(series: &[Series], names: Option<String>, columns: &[String]) -> Self {
        let names = names.map(|column| (column, series.iter().map(|one| one.name.clone()).collect()));
        let kind = |at: usize| {
            let texts = || series.iter().map(|one| &one.statics[at]);
            let numbers: Option<Vec<f64>> =
                texts().map(|text| text.parse().ok().filter(|v: &f64| v.is_finite())).collect();
            match numbers {
                Some(numbers) => Static::Number(Scale::of(&numbers)),
                None => {
                    let mut categories: Vec<String> = texts().cloned().collect();
                    categories.sort();
                    categories.dedup();
                    Static::Categories(categories)
                }
            }
        };
        let columns = columns.iter().enumerate().map(|(at, column)| (column.clone(), kind(at))).collect();
        Self { names, columns }
    }

    pub fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|(column, _)| column.clone()).collect()
    }

    pub fn series_column(&self) -> Option<String> {
        self.names.as_ref().map(|(column, _)| column.clone())
    }

    /// Returns the number of series.
    pub fn series(&self) -> usize {
        self.names.as_ref().map_or(1, |(_, names)| names.len())
    }

    /// Returns the number of inputs.
    pub fn width(&self) -> usize {
        let one_hot = if self.series() > 1 { self.series() } else { 0 };
        let width = |kind: &Static| match kind {
            Static::Number(_) => 1,
            Static::Categories(names) => names.len(),
        };
        one_hot + self.columns.iter().map(|(_, kind)| width(kind)).sum::<usize>()
    }

    /// Returns the number of a series.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] for a series that the model does not know, and if a static value has changed its kind.
    pub fn number(&self, series: &Series) -> Result<usize> {
        let Some((column, names)) = &self.names else { return Ok(0) };
        let found = names.iter().position(|name| *name == series.name);
        found.ok_or_else(|| {
            let known = names.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let dots = if names.len() > 5 { ", …" } else { "" };
            let why = format!("{:?} is not one of the model's {} series ({known}{dots})", series.name, names.len());
            refuse(&format!("column {column:?}"), why)
        })
    }

    /// Returns the inputs of a series: one-hot names, then columns. A category that the model does not know has none.
    pub fn inputs(&self, number: usize, series: &Series) -> Vec<f32> {
        let mut out = vec![0.0; if self.series() > 1 { self.series() } else { 0 }];
        if let Some(own) = out.get_mut(number) {
            *own = 1.0;
        }
        for ((_, kind), text) in self.columns.iter().zip(&series.statics) {
            match kind {
                Static::Number(scale) => out.push(text.parse().map_or(0.0, |v: f64| scale.apply(v) as f32)),
                Static::Categories(names) => out.extend(names.iter().map(|name| f32::from(u8::from(name == text)))),
            }
        }
        out
    }

    pub fn to_json(&self) -> Value {
        let kind = |kind: &Static| match kind {
            Static::Number(scale) => json!([scale.mean, scale.deviation]),
            Static::Categories(names) => json!(names),
        };
        let columns: Vec<Value> = self.columns.iter().map(|(column, of)| json!([column, kind(of)])).collect();
        json!({ "series": self.names, "columns": columns })
    }

    /// Reads [`to_json`](Self::to_json).
    pub fn from_json(value: &Value) -> Option<Self> {
        let text = |value: &Value| value.as_str().map(String::from);
        let texts = |value: &Value| value.as_array()?.iter().map(text).collect::<Option<Vec<_>>>();
        let names = match value.get("series")? {
            Value::Null => None,
            pair => Some((text(pair.get(0)?)?, texts(pair.get(1)?).filter(|names| !names.is_empty())?)),
        };
        let kind = |value: &Value| match texts(value) {
            Some(names) => Some(Static::Categories(names)),
            None => {
                let scale = Scale { mean: value.get(0)?.as_f64()?, deviation: value.get(1)?.as_f64()? };
                (scale.deviation > 0.0).then_some(Static::Number(scale))
            }
        };
        let column = |pair: &Value| Some((text(pair.get(0)?)?, kind(pair.get(1)?)?));
        let columns = value.get("columns")?.as_array()?.iter().map(column).collect::<Option<_>>()?;
        Some(Self { names, columns })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::tests::series;

    #[test]
    fn statics_are_one_hot_or_standardized() {
        let make = |name: &str, statics: [&str; 2]| Series {
            name: name.into(),
            statics: statics.map(String::from).to_vec(),
            ..series(vec![1.0])
        };
        let all = [make("a", ["1", "big"]), make("b", ["3", "small"]), make("c", ["5", "big"])];
        let statics = Statics::of(&all, Some("shop".into()), &["size".into(), "kind".into()]);
        assert_eq!((statics.width(), statics.series()), (3 + 1 + 2, 3));
        assert_eq!(statics.inputs(1, &all[1]), [0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(statics.number(&all[2]).unwrap(), 2);
        let why = statics.number(&make("d", ["1", "big"])).unwrap_err().to_string();
        assert_eq!(why, "column \"shop\": \"d\" is not one of the model's 3 series (a, b, c)");
        assert_eq!(Statics::from_json(&statics.to_json()), Some(statics));
        assert_eq!(Statics::from_json(&Statics::default().to_json()), Some(Statics::default()));
    }
}
