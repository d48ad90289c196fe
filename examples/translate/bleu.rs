//! BLEU, as sacrebleu counts it.

use std::collections::HashMap;

/// Longest n-grams that are compared.
const LONGEST: usize = 4;

/// BLEU of a corpus, with its parts:
///
/// ```text
/// score = brevity · (p_1·p_2·p_3·p_4)^¼      p_n = matched n-grams / n-grams of the translations
/// brevity = exp(min(0, 1 − reference length / length))
/// ```
///
/// An n-gram of a translation is matched at most as often as it occurs in one of the references. Of the references, the
/// one closest in length counts for the brevity. If no n-gram of some length is matched, its precision is replaced by
/// `1/2`, then `1/4`, … of one match. These are the defaults of `sacrebleu.corpus_bleu`: tokens of `13a`, with case,
/// smoothing `exp`.
///
/// Sources: Papineni et al., *BLEU: a method for automatic evaluation of machine translation* (2002); Post, *A call for
/// clarity in reporting BLEU scores* (2018).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bleu {
    /// 0 to 100.
    pub score: f64,
    /// Precision of n-grams of length 1 to 4, 0 to 100.
    pub precisions: [f64; LONGEST],
    /// Penalty for translations that are too short, 0 to 1.
    pub brevity: f64,
}

/// Counts over a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    matched: [usize; LONGEST],
    total: [usize; LONGEST],
    length: usize,
    reference_length: usize,
}

impl Bleu {
    /// Compares each translation with its references, at least one.
    pub fn of<'a>(corpus: impl IntoIterator<Item = (&'a str, &'a [String])>) -> Self {
        let mut counts = Counts::default();
        for (translation, references) in corpus {
            counts.add(translation, references);
        }
        counts.bleu()
    }
}

impl Counts {
    fn add(&mut self, translation: &str, references: &[String]) {
        let words = tokenize(translation);
        let references: Vec<Vec<String>> = references.iter().map(|text| tokenize(text)).collect();
        // Of equally close lengths, the shorter counts.
        let closest = references.iter().map(Vec::len).min_by_key(|&length| (length.abs_diff(words.len()), length));
        self.reference_length += closest.unwrap_or(0);
        self.length += words.len();
        for n in 1..=LONGEST {
            let mut allowed: HashMap<&[String], usize> = HashMap::new();
            for reference in &references {
                for (ngram, count) in ngrams(reference, n) {
                    let most = allowed.entry(ngram).or_default();
                    *most = count.max(*most);
                }
            }
            for (ngram, count) in ngrams(&words, n) {
                self.total[n - 1] += count;
                self.matched[n - 1] += count.min(allowed.get(ngram).copied().unwrap_or(0));
            }
        }
    }

    fn bleu(&self) -> Bleu {
        let brevity = match self.length {
            0 => 0.0,
            length if length >= self.reference_length => 1.0,
            length => (1.0 - self.reference_length as f64 / length as f64).exp(),
        };
        let mut precisions = [0.0; LONGEST];
        if self.matched == [0; LONGEST] {
            return Bleu { score: 0.0, precisions, brevity };
        }
        let mut smoothed = 1.0;
        for (precision, (&matched, &total)) in precisions.iter_mut().zip(self.matched.iter().zip(&self.total)) {
            *precision = match (matched, total) {
                (_, 0) => 0.0,
                (0, total) => {
                    smoothed /= 2.0;
                    100.0 * smoothed / total as f64
                }
                (matched, total) => 100.0 * matched as f64 / total as f64,
            };
        }
        // Without any n-gram of some length, the score is 0.
        let mean = precisions.iter().map(|p| p.ln()).sum::<f64>() / LONGEST as f64;
        Bleu { score: brevity * mean.exp(), precisions, brevity }
    }
}

fn ngrams(words: &[String], n: usize) -> HashMap<&[String], usize> {
    let mut counts = HashMap::new();
    for ngram in words.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// Splits text into words and punctuation, as the script mteval-v13a of NIST does: the apostrophe and the hyphen stay
/// in words, and so do characters outside of ASCII, such as «.
fn tokenize(text: &str) -> Vec<String> {
    let text = text.trim_end().replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    let text = text.replace("&quot;", "\"").replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">");
    let mut spaced: Vec<char> = vec![' '];
    for c in text.chars() {
        match c {
            '{'..='~' | '['..='`' | ' '..='&' | '('..='+' | ':'..='@' | '/' => spaced.extend([' ', c, ' ']),
            _ => spaced.push(c),
        }
    }
    spaced.push(' ');
    let is_digit = |c: char| c.is_ascii_digit();
    let is_point = |c: char| c == '.' || c == ',';
    // A point or a comma stays only between digits.
    let spaced = separate(&spaced, |a, b| (!is_digit(a) && is_point(b)).then_some([a, ' ', b, ' ']));
    let spaced = separate(&spaced, |a, b| (is_point(a) && !is_digit(b)).then_some([' ', a, ' ', b]));
    let spaced = separate(&spaced, |a, b| (is_digit(a) && b == '-').then_some([a, ' ', b, ' ']));
    spaced.into_iter().collect::<String>().split_whitespace().map(String::from).collect()
}

/// Replaces pairs of neighbors from the left; a replaced character is not part of a further pair.
fn separate(text: &[char], replace: impl Fn(char, char) -> Option<[char; 4]>) -> Vec<char> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match text.get(at + 1).and_then(|&next| replace(text[at], next)) {
            Some(with) => {
                out.extend(with);
                at += 2;
            }
            None => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bleu(corpus: &[(&str, &[&str])]) -> Bleu {
        let references: Vec<Vec<String>> =
            corpus.iter().map(|(_, references)| references.iter().map(|text| text.to_string()).collect()).collect();
        Bleu::of(corpus.iter().zip(&references).map(|((text, _), references)| (*text, &references[..])))
    }

    /// Counted by hand; sacrebleu 2.6.0 gives the same.
    #[test]
    fn scores_are_those_counted_by_hand() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-9;
        let same = bleu(&[("the cat sat on the mat", &["the cat sat on the mat"])]);
        assert!(close(same.score, 100.0) && same.precisions == [100.0; 4] && same.brevity == 1.0);

        // 5 of 6 words, 3 of 5 pairs, 1 of 4 triples, none of 3 quadruples: half a match of 3.
        let one = bleu(&[("un deux trois quatre cinq six", &["un deux trois sept cinq six"])]);
        let want = [500.0 / 6.0, 60.0, 25.0, 50.0 / 3.0];
        assert!(one.precisions.iter().zip(want).all(|(a, b)| close(*a, b)), "{one:?}");
        assert!(close(one.score, want.iter().product::<f64>().powf(0.25)), "{one:?}");

        // Neither triples nor quadruples: half a match of 2, then a quarter of a match of 1.
        let two = bleu(&[("un deux sept quatre", &["un deux trois quatre"])]);
        assert!(close(two.precisions[2], 25.0) && close(two.precisions[3], 25.0), "{two:?}");
        assert!(close(two.score, (75.0 * 100.0 / 3.0 * 25.0 * 25.0f64).powf(0.25)), "{two:?}");

        // "the" occurs twice in one of the references, so of seven only two are matched. Nothing else is.
        let clipped = bleu(&[("the the the the the the the", &["the cat is on the mat", "there is a cat on the mat"])]);
        let want = [200.0 / 7.0, 50.0 / 6.0, 25.0 / 5.0, 12.5 / 4.0];
        assert!(clipped.precisions.iter().zip(want).all(|(a, b)| close(*a, b)), "{clipped:?}");

        // 2 words instead of 4: exp(1 − 4/2). No triples at all, so the score is 0, smoothing or not.
        let short = bleu(&[("le chat", &["le chat est noir"])]);
        assert!(close(short.brevity, (-1.0f64).exp()) && short.score == 0.0, "{short:?}");
        // Lengths 4 and 6 are equally close to 5: the shorter counts, so nothing is missing.
        assert_eq!(bleu(&[("a b c d e", &["a b c d", "a b c d e f"])]).brevity, 1.0);
    }

    /// From sacrebleu 2.6.0: `corpus_bleu(translations, references).score`.
    #[test]
    fn scores_are_those_of_sacrebleu() {
        for (corpus, want) in [
            (&[("A b c d", &["a b c d"][..])][..], 59.460355750136046),
            (
                &[
                    ("Je suis fatigué.", &["Je suis très fatigué.", "Je suis fatiguée."]),
                    ("Tu es en retard !", &["Tu es en retard !"]),
                ],
                76.52058832556892,
            ),
            (
                &[
                    ("Il est parti hier soir.", &["Il est parti hier."]),
                    ("Nous mangeons une pomme.", &["Nous mangeons des pommes."]),
                    ("Elle a 3,5 ans.", &["Elle a 3,5 ans."]),
                ],
                57.21248424548516,
            ),
            (&[("the the the the the the the", &["the cat is on the mat"])], 7.809849842300637),
            (&[("rien", &["tout"])], 0.0),
            (&[("", &["tout"])], 0.0),
        ] {
            let got = bleu(corpus).score;
            assert!((got - want).abs() < 1e-9, "{corpus:?}: {got}, not {want}");
        }
    }

    /// From the tokenizer `13a` of sacrebleu 2.6.0.
    #[test]
    fn words_and_punctuation_are_separated() {
        for (text, want) in [
            ("Va-t'en, s'il te plaît !", "Va-t'en , s'il te plaît !"),
            ("Il coûte 3,50 € (1.000 fois).", "Il coûte 3,50 € ( 1.000 fois ) ."),
            ("L'an 1990-91... « Non » dit-elle.", "L'an 1990 - 91 . . . « Non » dit-elle ."),
            ("a&amp;b &lt;x&gt; \"q\" 50% u.s.a.", "a & b < x > \" q \" 50 % u . s . a ."),
            ("...,.5.a", ". . . , . 5 . a"),
            ("_a_ x^y {z} ~|`", "_ a _ x ^ y { z } ~ | `"),
        ] {
            assert_eq!(tokenize(text).join(" "), want);
        }
    }
}
