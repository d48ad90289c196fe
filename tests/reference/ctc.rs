//! Connectionist temporal classification with probabilities instead of logarithms: by enumeration of all paths and, for
//! larger sizes, by the number of completed labels and whether the path is on a blank.

/// Probabilities `[steps][classes]` of one sequence, and its labels.
pub struct Sequence<'a> {
    pub p: &'a [Vec<f64>],
    pub labels: &'a [usize],
    pub blank: usize,
}

/// Merges repeats, then removes blanks.
pub fn spelled(path: &[usize], blank: usize) -> Vec<usize> {
    let mut merged = path.to_vec();
    merged.dedup();
    merged.retain(|&c| c != blank);
    merged
}

/// Every sequence of `steps` classes.
pub fn paths(steps: usize, classes: usize) -> impl Iterator<Item = Vec<usize>> {
    let digits = move |i: usize| (0..steps).map(|t| i / classes.pow(t as u32) % classes).collect();
    (0..classes.pow(steps as u32)).map(digits)
}

/// The probability of a path.
pub fn probability(p: &[Vec<f64>], path: &[usize]) -> f64 {
    path.iter().zip(p).map(|(&c, p)| p[c]).product()
}

impl Sequence<'_> {
    /// The probability of the labels, summed path by path.
    pub fn enumerated(&self) -> f64 {
        let Some(first) = self.p.first() else { return if self.labels.is_empty() { 1.0 } else { 0.0 } };
        let spells = |path: &Vec<usize>| spelled(path, self.blank) == self.labels;
        paths(self.p.len(), first.len()).filter(spells).map(|path| probability(self.p, &path)).sum()
    }

    /// `[steps][labels + 1][on a blank, on a label]`: the probability of all path prefixes that have completed this
    /// many labels.
    fn begun(&self) -> Vec<Vec<[f64; 2]>> {
        let count = self.labels.len();
        let mut all: Vec<Vec<[f64; 2]>> = Vec::new();
        for p in self.p {
            let row = (0..=count).map(|i| {
                let (stay, on) = match (all.last(), i) {
                    (None, 0) => (1.0, 0.0),
                    (None, i) => (0.0, f64::from(i == 1)),
                    (Some(last), 0) => (last[0][0], 0.0),
                    (Some(last), i) => {
                        let differs = i == 1 || self.labels[i - 1] != self.labels[i - 2];
                        let from_label = if differs { last[i - 1][1] } else { 0.0 };
                        (last[i][0] + last[i][1], last[i][1] + last[i - 1][0] + from_label)
                    }
                };
                [p[self.blank] * stay, if i == 0 { 0.0 } else { p[self.labels[i - 1]] * on }]
            });
            let row = row.collect();
            all.push(row);
        }
        all
    }

    /// The probability of the labels.
    pub fn total(&self) -> f64 {
        match self.begun().last() {
            Some(last) => last[self.labels.len()].iter().sum(),
            None => f64::from(self.labels.is_empty()),
        }
    }

    /// `[steps][2·labels + 1]`: the probability of all path prefixes that end at a position.
    pub fn beginnings(&self) -> Vec<Vec<f64>> {
        let flat =
            |row: Vec<[f64; 2]>| -> Vec<f64> { row.iter().flat_map(|[blank, label]| [*label, *blank]).collect() };
        self.begun().into_iter().map(|row| flat(row)[1..].to_vec()).collect()
    }

    /// `[steps][2·labels + 1]`: the probability of being at a position, given the labels. The suffix of a path from
    /// there on is a prefix of a path of the reversed sequence.
    pub fn posterior(&self) -> Vec<Vec<f64>> {
        let (p, labels): (Vec<_>, Vec<_>) =
            (self.p.iter().rev().cloned().collect(), self.labels.iter().rev().copied().collect());
        let mut back = Sequence { p: &p, labels: &labels, blank: self.blank }.beginnings();
        back.reverse();
        let (total, forth) = (self.total(), self.beginnings());
        let symbol = |s: usize| if s.is_multiple_of(2) { self.blank } else { self.labels[s / 2] };
        let positions = 2 * self.labels.len() + 1;
        let at = |t: usize, s: usize| match self.p[t][symbol(s)] {
            0.0 => 0.0,
            p => forth[t][s] * back[t][positions - 1 - s] / p / total,
        };
        (0..self.p.len()).map(|t| (0..positions).map(|s| at(t, s)).collect()).collect()
    }
}
