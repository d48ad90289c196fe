//! The score of the Numenta Anomaly Benchmark (NAB), standard profile.
//!
//! Source: Lavin, Ahmad: *Evaluating real-time anomaly detection algorithms – the Numenta Anomaly Benchmark* (2015), and
//! the definitions of its repository, github.com/numenta/NAB (MIT).

use std::ops::RangeInclusive;

/// Weight of a false positive relative to that of a detected or missed window.
const FALSE_POSITIVE: f64 = 0.11;
/// Share of rows before scoring begins, and the number of rows that it is at most.
const PROBATION: f64 = 0.15;
const MOST_PROBATION: usize = 750;

/// Returns the number of rows that a detector may learn from before it is scored.
pub fn probation(rows: usize) -> usize {
    ((PROBATION * rows as f64) as usize).min(MOST_PROBATION)
}

/// `2·σ(−5·y) − 1`, from 0.987 at the beginning of a window (−1) through 0 at its end to −1 far after it.
fn sigmoid(position: f64) -> f64 {
    if position > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * position).exp()) - 1.0 }
}

/// Returns the effect of a detection at row `row` on the score, and the window that it is in.
fn effect(row: usize, windows: &[RangeInclusive<usize>]) -> (f64, Option<usize>) {
    if let Some(window) = windows.iter().position(|window| window.contains(&row)) {
        let (start, end) = (*windows[window].start(), *windows[window].end());
        let position = (end - row + 1) as f64 / (end - start + 1) as f64;
        return (sigmoid(-position) / sigmoid(-1.0), Some(window));
    }
    let last = windows.iter().filter(|window| *window.end() < row).max_by_key(|window| *window.end());
    let value = match last {
        None => -1.0,
        Some(window) => sigmoid((row - window.end()) as f64 / (window.end() - window.start()).max(1) as f64),
    };
    (FALSE_POSITIVE * value, None)
}

/// Score at a threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct NabScore {
    /// 0 for a detector that never detects, 100 for one that detects the first row of each window and nothing else.
    pub score: f64,
    pub threshold: f64,
    /// By window, whether it is detected.
    pub found: Vec<bool>,
    /// Detected rows outside of windows.
    pub false_positives: usize,
}

/// Returns the score of detections at the rows whose anomaly score is at least `threshold`.
pub fn at_threshold(scores: &[f64], windows: &[RangeInclusive<usize>], threshold: f64) -> NabScore {
    let rows = (probation(scores.len())..scores.len()).filter(|&row| scores[row] >= threshold);
    let mut sum = Sum::new(windows);
    rows.for_each(|row| sum.detect(row));
    sum.at(threshold)
}

/// Returns the score at the threshold where it is highest.
pub fn best(scores: &[f64], windows: &[RangeInclusive<usize>]) -> NabScore {
    let mut rows: Vec<usize> = (probation(scores.len())..scores.len()).collect();
    rows.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let mut sum = Sum::new(windows);
    let mut best = sum.at(f64::INFINITY);
    for equal in rows.chunk_by(|&a, &b| scores[a] == scores[b]) {
        equal.iter().for_each(|&row| sum.detect(row));
        if sum.normalized() > best.score {
            best = sum.at(scores[equal[0]]);
        }
    }
    best
}

struct Sum<'a> {
    windows: &'a [RangeInclusive<usize>],
    /// By window, the effect of its best detection; −1 without one.
    parts: Vec<f64>,
    false_positives: usize,
    penalty: f64,
}

impl<'a> Sum<'a> {
    fn new(windows: &'a [RangeInclusive<usize>]) -> Self {
        Self { windows, parts: vec![-1.0; windows.len()], false_positives: 0, penalty: 0.0 }
    }

    fn detect(&mut self, row: usize) {
        match effect(row, self.windows) {
            (value, Some(window)) => self.parts[window] = self.parts[window].max(value),
            (value, None) => {
                self.penalty += value;
                self.false_positives += 1;
            }
        }
    }

    fn normalized(&self) -> f64 {
        let (count, sum) = (self.parts.len() as f64, self.parts.iter().sum::<f64>() + self.penalty);
        100.0 * (sum + count) / (2.0 * count)
    }

    fn at(&self, threshold: f64) -> NabScore {
        NabScore {
            score: self.normalized(),
            threshold,
            found: self.parts.iter().map(|part| *part > -1.0).collect(),
            false_positives: self.false_positives,
        }
    }
}

/// Returns `scores` with −∞ at rows that do not exceed every score of the `rest` rows before: one detection per episode.
pub fn highest_of(scores: &[f64], rest: usize) -> Vec<f64> {
    let peak = |(i, &score): (usize, &f64)| {
        let before = &scores[i.saturating_sub(rest)..i];
        if before.iter().all(|other| *other < score) { score } else { f64::NEG_INFINITY }
    };
    scores.iter().enumerate().map(peak).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-9, "{a} {b}");
    }

    #[test]
    fn scores_are_those_computed_by_hand() {
        // 100 rows, 15 of probation; windows of 10 rows.
        let windows = [30..=39, 60..=69];
        let score = |rows: &[usize]| {
            let mut scores = vec![0.0; 100];
            rows.iter().for_each(|&row| scores[row] = 1.0);
            at_threshold(&scores, &windows, 0.5)
        };
        let s = |y: f64| 2.0 / (1.0 + (5.0 * y).exp()) - 1.0;
        close(s(-1.0), 0.98661429815143);
        close(score(&[]).score, 0.0);
        close(score(&[30, 60]).score, 100.0);
        close(score(&[30, 31, 39, 60]).score, 100.0);
        close(score(&[3, 14]).score, 0.0);
        // The raw score is 1 − 1.
        close(score(&[30]).score, 50.0);
        // In the last row of the window: position −1/10.
        close(score(&[39]).score, 100.0 * (s(-0.1) / s(-1.0) + 1.0) / 4.0);
        // Before every window: the full penalty. In the first row after one: 1/9 of its length after it.
        close(score(&[15, 30, 60]).score, 100.0 * (4.0 - 0.11) / 4.0);
        close(score(&[30, 40, 60]).score, 100.0 * (4.0 + 0.11 * s(1.0 / 9.0)) / 4.0);
        // More than three lengths after a window.
        close(score(&[30, 60, 99]).score, 100.0 * (4.0 - 0.11) / 4.0);
        let found = score(&[16, 60]);
        assert_eq!((found.found, found.false_positives), (vec![false, true], 1));
    }

    #[test]
    fn the_best_threshold_is_found() {
        let windows = [30..=39, 60..=69];
        let mut scores = vec![0.0; 100];
        (scores[30], scores[50], scores[60], scores[90]) = (0.9, 0.8, 0.7, 0.6);
        let best = best(&scores, &windows);
        assert_eq!((best.threshold, best.false_positives), (0.7, 1));
        assert_eq!(best, at_threshold(&scores, &windows, 0.7));
        assert_eq!((probation(100), probation(22_695)), (15, 750));
    }

    #[test]
    fn only_new_highs_count_within_the_rest() {
        let (no, scores) = (f64::NEG_INFINITY, [1.0, 3.0, 2.0, 4.0, 1.0, 2.0, 2.0]);
        assert_eq!(highest_of(&scores, 2), [1.0, 3.0, no, 4.0, no, no, no]);
        assert_eq!(highest_of(&scores, 1), [1.0, 3.0, no, 4.0, no, 2.0, no]);
        assert_eq!(highest_of(&scores, 0), scores);
    }
}
