//! Multinomial naive Bayes, the baseline.

use std::collections::HashMap;

use crate::common::words::Unit;
use crate::data::Example;

/// `argmax_c log P(c) + Σ_w log P(w | c)` with add-one smoothing, `P(w | c) = (n(w, c) + 1) / (n(c) + V)`. The words of
/// a text in letters are its sequences of three letters, with marks at the ends.
///
/// Source: Manning, Raghavan, Schütze, *Introduction to Information Retrieval* (2008), chapter 13.
pub struct NaiveBayes {
    unit: Unit,
    /// `log P(c)`
    priors: Vec<f64>,
    /// Counts by word and class.
    counts: HashMap<String, Vec<f64>>,
    /// Words by class.
    totals: Vec<f64>,
}

impl NaiveBayes {
    pub fn fit<'a>(examples: impl Iterator<Item = &'a Example>, classes: usize, unit: Unit) -> Self {
        let mut texts = vec![0.0; classes];
        let (mut counts, mut totals) = (HashMap::<String, Vec<f64>>::new(), vec![0.0; classes]);
        for example in examples {
            texts[example.class] += 1.0;
            for word in features(&example.words, unit) {
                counts.entry(word).or_insert_with(|| vec![0.0; classes])[example.class] += 1.0;
                totals[example.class] += 1.0;
            }
        }
        let all: f64 = texts.iter().sum();
        Self { unit, priors: texts.iter().map(|n| (n / all).ln()).collect(), counts, totals }
    }

    /// Returns `log P(w | c)` by class; `None` for a word that training did not have.
    pub fn logarithms(&self, word: &str) -> Option<Vec<f64>> {
        let (counts, vocabulary) = (self.counts.get(word)?, self.counts.len() as f64);
        Some(counts.iter().zip(&self.totals).map(|(n, total)| ((n + 1.0) / (total + vocabulary)).ln()).collect())
    }

    /// Returns the most probable class; ties go to the first. Words that training did not have are ignored.
    pub fn classify(&self, words: &[String]) -> usize {
        let mut scores = self.priors.clone();
        for logarithms in features(words, self.unit).iter().filter_map(|word| self.logarithms(word)) {
            scores.iter_mut().zip(logarithms).for_each(|(score, logarithm)| *score += logarithm);
        }
        (0..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
    }
}

fn features(words: &[String], unit: Unit) -> Vec<String> {
    if unit == Unit::Word {
        return words.to_vec();
    }
    let (start, end) = (["^".to_string()], ["$".to_string()]);
    let marked: Vec<&String> = start.iter().chain(words).chain(&end).collect();
    marked.windows(3).map(|three| three.iter().map(|letter| letter.as_str()).collect()).collect()
}

/// Returns the most frequent class of the examples.
pub fn majority(examples: &[Example], classes: usize) -> usize {
    let mut counts = vec![0; classes];
    examples.iter().for_each(|example| counts[example.class] += 1);
    (0..classes).fold(0, |best, class| if counts[class] > counts[best] { class } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(text: &str, class: usize) -> Example {
        Example { class, words: Unit::Word.split(text), tokens: Vec::new() }
    }

    /// Manning et al., example 13.1: P(c | d5) ∝ 3/4 · (3/7)³ · 1/14 · 1/14 ≈ 0.0003,
    /// P(c̄ | d5) ∝ 1/4 · (2/9)³ · 2/9 · 2/9 ≈ 0.0001.
    #[test]
    fn probabilities_are_those_of_the_textbook() {
        let texts = [("chinese beijing chinese", 0), ("chinese chinese shanghai", 0), ("chinese macao", 0)];
        let texts: Vec<Example> =
            texts.iter().chain(&[("tokyo japan chinese", 1)]).map(|(text, class)| example(text, *class)).collect();
        let bayes = NaiveBayes::fit(texts.iter(), 2, Unit::Word);
        assert_eq!(bayes.classify(&Unit::Word.split("chinese chinese chinese tokyo japan")), 0);
        // Two of these words less: 3/4 · 3/7 · 1/14² ≈ 0.0016 and 1/4 · (2/9)³ ≈ 0.0027.
        assert_eq!(bayes.classify(&Unit::Word.split("chinese tokyo japan unseen")), 1);
        assert_eq!(majority(&texts, 2), 0);
        let [c, other] = bayes.logarithms("chinese").unwrap()[..] else { panic!("there are two classes") };
        assert!((c - (3f64 / 7.0).ln()).abs() < 1e-12 && (other - (2f64 / 9.0).ln()).abs() < 1e-12);
        assert!(bayes.logarithms("unseen").is_none());
    }

    #[test]
    fn letters_are_counted_by_three() {
        let words = Unit::Letter.split("abc");
        assert_eq!(features(&words, Unit::Letter), ["^ab", "abc", "bc$"]);
        assert_eq!(features(&words[..1], Unit::Letter), ["^a$"]);
    }
}
