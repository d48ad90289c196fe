//! Confusion matrices.

use crate::error::{Error, Result};

/// Confusion matrix of a classifier, with the scores computed from it as in scikit-learn.
///
/// ```
/// use wgru::train::metrics::ConfusionMatrix;
/// let mut matrix = ConfusionMatrix::new(2)?;
/// matrix.add(&[1, 1, 1, 0], &[1, 1, 0, 1])?;
/// assert_eq!(matrix.count(1, 0), 1);                                // truly 1, predicted 0
/// assert_eq!(matrix.accuracy(), 0.5);
/// assert_eq!((matrix.precision(1), matrix.recall(1), matrix.f1(1)), (2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0));
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    /// `[classes, classes]`: row by true class, column by predicted class.
    counts: Vec<u64>,
}

impl ConfusionMatrix {
    /// Creates a matrix without counts.
    ///
    /// # Errors
    /// [`Error::Value`] unless there are 1 to 4,096 classes, whose counts take 128 MiB.
    pub fn new(classes: usize) -> Result<Self> {
        match classes {
            1..=4096 => Ok(Self { classes, counts: vec![0; classes * classes] }),
            _ => Err(Error::value("ConfusionMatrix", "classes", "1 to 4,096", classes)),
        }
    }

    /// Counts predictions and their true classes.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the lengths are equal, [`Error::Value`] for a class that does not exist. On an error,
    /// nothing is counted.
    pub fn add(&mut self, prediction: &[u32], target: &[u32]) -> Result<()> {
        const OP: &str = "ConfusionMatrix::add";
        if prediction.len() != target.len() {
            return Err(Error::shape(OP, "target", format!("[{}]", prediction.len()), &[target.len()]));
        }
        for (arg, list) in [("prediction", prediction), ("target", target)] {
            if let Some(class) = list.iter().find(|&&class| class as usize >= self.classes) {
                return Err(Error::value(OP, arg, format!("classes below {}", self.classes), class));
            }
        }
        for (&predicted, &truth) in prediction.iter().zip(target) {
            self.counts[truth as usize * self.classes + predicted as usize] += 1;
        }
        Ok(())
    }

    /// Returns the number of examples of class `truth` that were predicted as `predicted`; 0 for classes that do not
    /// exist.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        if truth < self.classes && predicted < self.classes { self.counts[truth * self.classes + predicted] } else { 0 }
    }

    /// Returns the share of correct predictions; NaN without examples.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        right as f64 / self.counts.iter().sum::<u64>() as f64
    }

    /// Returns the share of the examples predicted as `class` that belong to it; 0 if no example is predicted as
    /// `class`.
    pub fn precision(&self, class: usize) -> f64 {
        share(self.count(class, class), self.predicted(class))
    }

    /// Returns the share of the examples of `class` that are predicted as `class`; 0 if the class has no examples.
    pub fn recall(&self, class: usize) -> f64 {
        share(self.count(class, class), self.true_of(class))
    }

    /// Returns the harmonic mean of [precision](Self::precision) and [recall](Self::recall) of a class; 0 if it occurs
    /// neither in predictions nor in targets.
    pub fn f1(&self, class: usize) -> f64 {
        share(2 * self.count(class, class), self.predicted(class) + self.true_of(class))
    }

    /// Returns the mean of [`f1`](Self::f1) over the classes that occur in predictions or targets, each with the same
    /// weight; NaN without examples.
    pub fn macro_f1(&self) -> f64 {
        let occurs = |class: &usize| self.predicted(*class) + self.true_of(*class) > 0;
        let scores: Vec<f64> = (0..self.classes).filter(occurs).map(|class| self.f1(class)).collect();
        scores.iter().sum::<f64>() / scores.len() as f64
    }

    fn predicted(&self, class: usize) -> u64 {
        (0..self.classes).map(|truth| self.count(truth, class)).sum()
    }

    fn true_of(&self, class: usize) -> u64 {
        (0..self.classes).map(|predicted| self.count(class, predicted)).sum()
    }
}

fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}
