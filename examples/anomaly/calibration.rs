//! P-values of scores, by comparison with scores of normal data.

use std::collections::VecDeque;

/// Scores of normal data, to compare others with:
///
/// ```text
/// p = (1 + number of scores ≥ s) / (1 + number of scores)
/// ```
///
/// If new scores are exchangeable with these, a share of at most α of them has p ≤ α. Source: Vovk, Gammerman, Shafer:
/// *Algorithmic learning in a random world* (2005).
#[derive(Clone, Debug, PartialEq)]
pub enum Calibration {
    /// Scores of held-out data, in ascending order.
    Fixed(Vec<f32>),
    /// At most this many of the last scores, the oldest first.
    Rolling(usize, VecDeque<f32>),
}

impl Calibration {
    pub fn fixed(mut scores: Vec<f32>) -> Self {
        scores.sort_by(f32::total_cmp);
        Self::Fixed(scores)
    }

    /// Returns the p-value of a score. A rolling calibration then takes the score in.
    pub fn p(&mut self, score: f32) -> f64 {
        match self {
            Self::Fixed(sorted) => share(sorted.len() - sorted.partition_point(|other| *other < score), sorted.len()),
            Self::Rolling(most, last) => {
                let p = share(last.iter().filter(|other| **other >= score).count(), last.len());
                if last.len() >= *most {
                    last.pop_front();
                }
                last.push_back(score);
                p
            }
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Self::Fixed(sorted) => sorted.len(),
            Self::Rolling(_, last) => last.len(),
        }
    }

    /// Returns the last `count` scores; none of a fixed calibration.
    pub fn last(&self, count: usize) -> impl Iterator<Item = f32> {
        let last = match self {
            Self::Fixed(_) => None,
            Self::Rolling(_, last) => Some(last.iter().rev().take(count).copied()),
        };
        last.into_iter().flatten()
    }

    /// Returns the scores, in the order that [`set`](Self::set) takes.
    pub fn scores(&self) -> Vec<f32> {
        match self {
            Self::Fixed(sorted) => sorted.clone(),
            Self::Rolling(_, last) => last.iter().copied().collect(),
        }
    }

    /// Replaces the scores by those of [`scores`](Self::scores).
    pub fn set(&mut self, scores: &[f32]) {
        match self {
            Self::Fixed(sorted) => *sorted = scores.to_vec(),
            Self::Rolling(_, last) => *last = scores.iter().copied().collect(),
        }
    }
}

fn share(above: usize, of: usize) -> f64 {
    (1 + above) as f64 / (1 + of) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgru::Rng;
    use wgru::train::SplitConformal;

    #[test]
    fn p_values_count_the_scores_that_are_as_high() {
        let mut fixed = Calibration::fixed(vec![3.0, 1.0, 2.0, 2.0]);
        assert_eq!([0.5, 2.0, 2.5, 9.0].map(|s| fixed.p(s)), [1.0, 0.8, 0.4, 0.2]);
        let mut rolling = Calibration::Rolling(2, VecDeque::new());
        assert_eq!([1.0, 2.0, 0.5, 0.7].map(|s| rolling.p(s)), [1.0, 0.5, 1.0, 2.0 / 3.0]);
        assert_eq!(rolling.scores(), [0.5, 0.7]);
    }

    #[test]
    fn alarms_are_those_of_split_conformal_prediction() {
        let mut rng = Rng::new(1);
        let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| rng.normal()).collect() };
        let (normal, new, alpha) = (draw(999), draw(20_000), 0.01);
        let radius = SplitConformal::of_scores(&normal, alpha).unwrap().radius();
        let mut calibration = Calibration::fixed(normal);
        let alarms = new.iter().filter(|&&score| calibration.p(score) <= alpha).count();
        // Equal scores are no more exceptional than the threshold.
        assert_eq!(alarms, new.iter().filter(|&&score| score > radius).count());
        assert!((100..320).contains(&alarms), "{alarms}");
    }
}
