//! Engines that run to failure: their table, their remaining life, and how predictions of it are judged.
//!
//! Source of the table and of the score: Saxena, Goebel, Simon, Eklund: *Damage propagation modeling for aircraft engine
//! run-to-failure simulation* (2008).

use std::path::Path;

use wgru::Rng;

use crate::common::Result;
use crate::common::files::read_text;
use crate::signal::parse_number;

/// Columns of a row: engine, cycle, 3 settings and 21 sensors.
pub const COLUMNS: usize = 26;
/// Settings and sensors.
pub const MEASURED: usize = COLUMNS - 2;
/// Remaining cycles beyond which engines are not told apart: they show no wear yet.
pub const MOST: f32 = 125.0;

/// An engine with a row of measurements for each cycle from the first to the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Engine {
    pub number: u32,
    pub cycles: Vec<[f32; MEASURED]>,
}

impl Engine {
    /// Returns the remaining cycles after the first `cycles`.
    pub fn remaining(&self, cycles: usize) -> f32 {
        (self.cycles.len() - cycles) as f32
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub engine: u32,
    pub cycle: usize,
    pub measured: [f32; MEASURED],
}

/// Parses a row of numbers separated by blanks.
///
/// # Errors
/// Says what came instead.
pub fn parse_row(line: &str) -> std::result::Result<Row, String> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    if fields.len() != COLUMNS {
        return Err(format!("expected {COLUMNS} numbers, got {}", fields.len()));
    }
    let whole = |name: &str, text: &str| match text.parse::<u32>() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("expected the number of the {name}, got {text:?}")),
    };
    let mut measured = [0.0; MEASURED];
    for (value, text) in measured.iter_mut().zip(&fields[2..]) {
        *value = parse_number(text)?;
    }
    Ok(Row { engine: whole("engine", fields[0])?, cycle: whole("cycle", fields[1])? as usize, measured })
}

/// Reads a table of engines.
///
/// # Errors
/// Names the file and the line at fault.
pub fn read(path: &Path) -> Result<Vec<Engine>> {
    parse(&path.display().to_string(), &read_text(path)?)
}

fn parse(name: &str, text: &str) -> Result<Vec<Engine>> {
    let mut engines: Vec<Engine> = Vec::new();
    for (i, line) in text.trim_end().lines().enumerate() {
        let refuse = |why: String| format!("{name}: line {}: {why}", i + 1);
        let row = parse_row(line).map_err(refuse)?;
        if engines.last().is_none_or(|engine| engine.number != row.engine) {
            if engines.iter().any(|engine| engine.number == row.engine) {
                return Err(refuse(format!("the rows of engine {} must follow one another", row.engine)).into());
            }
            engines.push(Engine { number: row.engine, cycles: Vec::new() });
        }
        let Some(engine) = engines.last_mut() else { continue };
        let expected = engine.cycles.len() + 1;
        if row.cycle != expected {
            return Err(refuse(format!("expected cycle {expected} of engine {}, got {}", row.engine, row.cycle)).into());
        }
        engine.cycles.push(row.measured);
    }
    Ok(engines)
}

/// A moment at which the remaining life of an engine is predicted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// Index of the engine.
    pub engine: usize,
    /// Cycles that the prediction may use.
    pub cycles: usize,
}

/// Draws moments like those of the official test, where the engines have 7 to 145 remaining cycles, and at least 31 past
/// ones: uniform over the remaining cycles.
pub fn cuts(engines: &[Engine], each: usize, rng: &mut Rng) -> Vec<Cut> {
    const REMAINING: (usize, usize) = (7, 145);
    const PAST: usize = 31;
    let mut cuts = Vec::new();
    for (engine, Engine { cycles, .. }) in engines.iter().enumerate() {
        let most = REMAINING.1.min(cycles.len().saturating_sub(PAST));
        if most < REMAINING.0 {
            continue;
        }
        cuts.extend((0..each).map(|_| {
            let remaining = REMAINING.0 + rng.below(most - REMAINING.0 + 1);
            Cut { engine, cycles: cycles.len() - remaining }
        }));
    }
    cuts
}

/// Returns the mean of the C-MAPSS score: `exp(−d/13) − 1` for a prediction that is `−d` too low, `exp(d/10) − 1` for one
/// that is `d` too high. Late warnings cost more.
pub fn mean_score(predicted: &[f32], remaining: &[f32]) -> f64 {
    let cost = |(p, r): (&f32, &f32)| {
        let d = f64::from(p - r);
        (if d < 0.0 { -d / 13.0 } else { d / 10.0 }).exp() - 1.0
    };
    predicted.iter().zip(remaining).map(cost).sum::<f64>() / predicted.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(engine: &str, cycle: &str) -> String {
        format!("{engine} {cycle} {}", ["0.5"; MEASURED].join(" "))
    }

    #[test]
    fn scores_are_those_computed_by_hand() {
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        close(mean_score(&[20.0], &[20.0]), 0.0);
        close(mean_score(&[7.0], &[20.0]), 1f64.exp() - 1.0);
        close(mean_score(&[40.0], &[20.0]), 2f64.exp() - 1.0);
        close(mean_score(&[30.0, 20.0], &[20.0, 33.0]), 1f64.exp() - 1.0);
    }

    #[test]
    fn tables_are_checked_by_line() {
        let text = [line("1", "1"), line("1", "2"), line("3", "1")].join("\n");
        let engines = parse("t.txt", &text).unwrap();
        assert_eq!((engines.len(), engines[0].cycles.len(), engines[1].number), (2, 2, 3));
        assert_eq!(engines[0].remaining(1), 1.0);
        for (lines, why) in [
            (vec![line("1", "2")], "line 1: expected cycle 1 of engine 1, got 2"),
            (vec![line("1", "1"), "1 2 3".into()], "line 2: expected 26 numbers, got 3"),
            (vec![line("1", "1"), line("x", "2")], "line 2: expected the number of the engine, got \"x\""),
            (vec![line("1", "1"), line("1", "0")], "line 2: expected the number of the cycle"),
            (vec![line("1", "1").replace("0.5 0.5", "0.5 NaN")], "line 1: expected a number, got \"NaN\""),
            (vec![line("1", "1"), line("2", "1"), line("1", "2")], "line 3: the rows of engine 1 must follow"),
        ] {
            let error = parse("t.txt", &lines.join("\n")).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn cuts_are_within_the_range_of_the_official_test() {
        let engine = |cycles: usize| Engine { number: 1, cycles: vec![[0.0; MEASURED]; cycles] };
        let engines = [engine(300), engine(100), engine(37)];
        let cuts = cuts(&engines, 200, &mut Rng::new(1));
        assert_eq!(cuts.len(), 400, "the third engine is too short");
        let remaining = |cut: &Cut| engines[cut.engine].remaining(cut.cycles);
        assert!(cuts.iter().all(|cut| cut.cycles >= 31 && (7.0..=145.0).contains(&remaining(cut))));
        assert!(cuts.iter().any(|cut| remaining(cut) > 135.0) && cuts.iter().any(|cut| remaining(cut) < 15.0));
    }
}
