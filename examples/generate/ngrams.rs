//! N-grams of characters, the baseline.

use std::collections::HashMap;

/// Probabilities of the next character after 0 to `order` characters, each interpolated with that after one character
/// less (Witten and Bell):
///
/// ```text
/// P(c | h) = (n(h, c) + t(h)·P(c | h without its first character)) / (n(h) + t(h))
/// ```
///
/// `n` counts, `t(h)` is the number of different characters after `h`, and the empty history is interpolated with equal
/// probabilities for all characters.
///
/// Source: Chen and Goodman, *An empirical study of smoothing techniques for language modeling* (1998), section 2.5.
pub struct Ngrams {
    characters: HashMap<char, u32>,
    /// By length of the history: how often each history occurs, and before how many different characters.
    histories: Vec<HashMap<u128, (u32, u32)>>,
    /// By length of the history: how often each history occurs before each character.
    counts: Vec<HashMap<u128, u32>>,
}

/// Bits of a character's number: enough for all of Unicode.
const BITS: u32 = 21;
/// Longest history whose key fits into 128 bits with the character after it.
pub const LONGEST: usize = 5;
/// Characters at the end of a text that are counted, so that the counts of a long text fit into memory.
const MOST: usize = 20_000_000;

impl Ngrams {
    /// Counts the characters of `train`. `all` has every character that may occur.
    pub fn count(train: &str, all: &str, order: usize) -> Self {
        let mut characters = HashMap::new();
        for c in all.chars() {
            let next = characters.len() as u32;
            characters.entry(c).or_insert(next);
        }
        let tokens = numbers(&characters, train);
        let tokens = &tokens[tokens.len().saturating_sub(MOST)..];
        let (mut histories, mut counts) = (Vec::new(), Vec::new());
        for length in 0..=order.min(LONGEST) {
            let (mut before, mut with) = (HashMap::<u128, (u32, u32)>::new(), HashMap::<u128, u32>::new());
            for window in tokens.windows(length + 1) {
                let count = with.entry(key(window)).or_default();
                *count += 1;
                let (n, t) = before.entry(key(&window[..length])).or_default();
                *n += 1;
                *t += u32::from(*count == 1);
            }
            histories.push(before);
            counts.push(with);
        }
        Self { characters, histories, counts }
    }

    /// Returns the mean of `−ln P` in nats over the characters of `text`, which follow `before`, by length of the
    /// history.
    pub fn nats(&self, before: &str, text: &str) -> Vec<f64> {
        let before: String = before.chars().rev().take(LONGEST).collect::<Vec<_>>().into_iter().rev().collect();
        let (context, tokens) = (numbers(&self.characters, &before).len(), numbers(&self.characters, &(before + text)));
        let mut sums = vec![0.0; self.counts.len()];
        for at in context..tokens.len() {
            let mut p = 1.0 / self.characters.len() as f64;
            for (length, sum) in sums.iter_mut().enumerate() {
                if length <= at {
                    p = self.interpolate(&tokens[at - length..=at], p);
                }
                *sum -= p.ln();
            }
        }
        let count = (tokens.len() - context) as f64;
        sums.iter().map(|sum| sum / count).collect()
    }

    /// Returns the probability of the last token of `window` after the others, from that after one token less.
    fn interpolate(&self, window: &[u32], shorter: f64) -> f64 {
        let length = window.len() - 1;
        let Some(&(n, t)) = self.histories[length].get(&key(&window[..length])) else { return shorter };
        let count = self.counts[length].get(&key(window)).copied().unwrap_or(0);
        (f64::from(count) + f64::from(t) * shorter) / f64::from(n + t)
    }
}

fn numbers(characters: &HashMap<char, u32>, text: &str) -> Vec<u32> {
    text.chars().filter_map(|c| characters.get(&c).copied()).collect()
}

fn key(tokens: &[u32]) -> u128 {
    tokens.iter().fold(0, |key, &token| key << BITS | u128::from(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_are_those_of_the_formula() {
        // After "abac": n(a) = 2, n(b) = n(c) = 1, three different ones; V = 4 with the "d" of the test.
        let grams = Ngrams::count("abac", "abacd", 1);
        let unigram = |n: f64| (n + 3.0 * 0.25) / 7.0;
        // Nothing followed "c". Of the two after "a", one was "b". After "b" came only "a".
        let (b_after_a, d_after_b) = ((1.0 + 2.0 * unigram(1.0)) / 4.0, (0.0 + 1.0 * unigram(0.0)) / 2.0);
        let want = [
            -(unigram(2.0).ln() + unigram(1.0).ln() + unigram(0.0).ln()) / 3.0,
            -(unigram(2.0).ln() + f64::ln(b_after_a) + f64::ln(d_after_b)) / 3.0,
        ];
        for (got, want) in grams.nats("abac", "abd").iter().zip(want) {
            assert!((got - want).abs() < 1e-12, "{got} {want}");
        }
    }

    #[test]
    fn probabilities_add_up_to_1() {
        let (train, all) = ("to be or not to be that is the question", "abcdefghijklmnopqrstuvwxyz ");
        let grams = Ngrams::count(train, all, LONGEST);
        for history in ["", "t", "to be", "zz", "question"] {
            let mut sums = vec![0.0; LONGEST + 1];
            for c in all.chars() {
                let nats = grams.nats(history, &c.to_string());
                sums.iter_mut().zip(nats).for_each(|(sum, nats)| *sum += (-nats).exp());
            }
            assert!(sums.iter().all(|sum| (sum - 1.0).abs() < 1e-9), "{history:?}: {sums:?}");
        }
    }
}
