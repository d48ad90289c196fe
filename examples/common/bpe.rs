//! Byte pairs: texts as tokens of one or more bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

/// Tokens 0 to 255 are the bytes; each further one joins two earlier ones.
///
/// The pair that occurs most often in the training text becomes the next token, and so on (Sennrich, Haddow and Birch,
/// *Neural machine translation of rare words with subword units*, 2016). Tokens do not cross the borders between words
/// and other characters; the space before a word belongs to the word.
#[derive(Clone, Debug, PartialEq)]
pub struct Bpe {
    /// The two parts of token 256, 257, …
    merges: Vec<(u32, u32)>,
    ranks: HashMap<(u32, u32), u32>,
}

/// Number of tokens that are single bytes.
const BYTES: usize = 256;

impl Bpe {
    /// Learns at most `vocabulary` tokens, the 256 bytes included. Stops early if no pair occurs twice.
    pub fn learn(text: &str, vocabulary: usize) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for piece in pieces(text) {
            *counts.entry(piece).or_default() += 1;
        }
        let mut words: Vec<(Vec<u32>, usize)> =
            counts.into_iter().map(|(piece, count)| (piece.bytes().map(u32::from).collect(), count)).collect();
        // How often each pair occurs, and in which words it may.
        let mut pairs: HashMap<(u32, u32), usize> = HashMap::new();
        let mut places: HashMap<(u32, u32), BTreeSet<usize>> = HashMap::new();
        for (place, (word, count)) in words.iter().enumerate() {
            for pair in word.windows(2).map(|pair| (pair[0], pair[1])) {
                *pairs.entry(pair).or_default() += count;
                places.entry(pair).or_default().insert(place);
            }
        }
        let mut merges = Vec::new();
        while BYTES + merges.len() < vocabulary {
            // Ties go to the lower pair.
            let best = pairs.iter().max_by_key(|(pair, count)| (**count, std::cmp::Reverse(**pair)));
            let Some((&pair, _)) = best.filter(|(_, count)| **count > 1) else { break };
            let token = (BYTES + merges.len()) as u32;
            merges.push(pair);
            for place in places.remove(&pair).unwrap_or_default() {
                let (word, count) = &mut words[place];
                for old in word.windows(2).map(|pair| (pair[0], pair[1])) {
                    if let Some(all) = pairs.get_mut(&old) {
                        *all -= *count;
                    }
                }
                *word = merge(word, pair, token);
                for new in word.windows(2).map(|pair| (pair[0], pair[1])) {
                    *pairs.entry(new).or_default() += *count;
                    places.entry(new).or_default().insert(place);
                }
            }
            pairs.remove(&pair);
        }
        Self::from_merges(merges).unwrap_or_else(|_| unreachable!("merges join earlier tokens"))
    }

    /// Restores tokens from their merges.
    ///
    /// # Errors
    /// Names the first merge of a token that does not exist before it.
    fn from_merges(merges: Vec<(u32, u32)>) -> Result<Self, String> {
        for (i, (first, second)) in merges.iter().enumerate() {
            if (*first.max(second)) as usize >= BYTES + i {
                return Err(format!("merge {i} joins a token that comes after it"));
            }
        }
        let ranks = merges.iter().zip(BYTES as u32..).map(|(&pair, token)| (pair, token)).collect();
        Ok(Self { merges, ranks })
    }

    /// Returns the merges as a list of pairs.
    pub fn to_json(&self) -> Value {
        serde_json::json!(self.merges)
    }

    /// Reads tokens of [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// Says what is wrong with the list.
    pub fn from_json(value: &Value) -> Result<Self, String> {
        let number = |value: &Value| value.as_u64().and_then(|n| u32::try_from(n).ok());
        let pair = |value: &Value| Some((number(value.get(0)?)?, number(value.get(1)?)?));
        let merges = value.as_array().and_then(|list| list.iter().map(pair).collect::<Option<Vec<_>>>());
        Self::from_merges(merges.ok_or("expected a list of pairs of tokens")?)
    }

    /// Returns the number of tokens.
    pub fn len(&self) -> usize {
        BYTES + self.merges.len()
    }

    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut known: HashMap<&str, Vec<u32>> = HashMap::new();
        pieces(text).flat_map(|piece| known.entry(piece).or_insert_with(|| self.encode_piece(piece)).clone()).collect()
    }

    fn encode_piece(&self, piece: &str) -> Vec<u32> {
        let mut word: Vec<u32> = piece.bytes().map(u32::from).collect();
        loop {
            let next = word.windows(2).filter_map(|pair| self.ranks.get(&(pair[0], pair[1]))).min();
            let Some(&token) = next else { return word };
            word = merge(&word, self.merges[token as usize - BYTES], token);
        }
    }

    /// Returns the bytes of every token. A part of a character may be a token of its own.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        let mut all: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
        for &(first, second) in &self.merges {
            all.push([&all[first as usize][..], &all[second as usize]].concat());
        }
        all
    }
}

/// Joins every `pair` in `word`, from the left.
fn merge(word: &[u32], pair: (u32, u32), token: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let [first, after @ ..] = rest {
        if after.first().is_some_and(|second| (*first, *second) == pair) {
            out.push(token);
            rest = &after[1..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    out
}

/// Splits text into words, numbers, runs of other characters, each with the space before it, and single other
/// whitespace.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let kind = |c: char| match c {
        c if c.is_whitespace() => 0,
        c if c.is_alphabetic() => 1,
        c if c.is_numeric() => 2,
        _ => 3,
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut chars = rest.char_indices();
        let (_, first) = chars.next()?;
        let mut of = kind(first);
        let mut end = first.len_utf8();
        for (at, c) in chars {
            if of == 0 && (first != ' ' || at > 1 || kind(c) == 0) {
                break;
            }
            if of == 0 {
                of = kind(c);
            }
            if kind(c) != of {
                break;
            }
            end = at + c.len_utf8();
        }
        let (piece, after) = rest.split_at(end);
        rest = after;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_words_with_their_space() {
        let got: Vec<&str> = pieces("Go on,  42 men!\n\tthé end").collect();
        assert_eq!(got, ["Go", " on", ",", " ", " 42", " men", "!", "\n", "\t", "thé", " end"]);
    }

    /// The words of the example in Sennrich et al. (2016), without marks of their ends.
    #[test]
    fn the_most_frequent_pairs_are_joined_first() {
        let text = [("low", 5), ("lowest", 2), ("newer", 6), ("wider", 3)];
        let text: Vec<String> = text.iter().flat_map(|(word, count)| vec![word.to_string(); *count]).collect();
        let bpe = Bpe::learn(&text.join("\n"), 256 + 4);
        let tokens: Vec<String> =
            bpe.bytes()[256..].iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        // er 9; lo 7, before ow 7, whose first byte is greater; low 7; ew 6, before ne 6 and w-er 6.
        assert_eq!(tokens, ["er", "lo", "low", "ew"]);
        assert_eq!(bpe.encode("lower"), [258, 256]);
    }

    #[test]
    fn any_text_survives_encoding() {
        let text = "to be or not to be, that is the question: ça, 日本語 😀 to be\r\n\tto  be";
        for vocabulary in [0, 256, 300] {
            let bpe = Bpe::learn(text, vocabulary);
            let (bytes, tokens) = (bpe.bytes(), bpe.encode(text));
            let back: Vec<u8> = tokens.iter().flat_map(|&token| bytes[token as usize].clone()).collect();
            assert_eq!(String::from_utf8(back).unwrap(), text);
            assert!(vocabulary <= 256 || tokens.len() < text.len());
            assert_eq!(Bpe::from_json(&bpe.to_json()).unwrap(), bpe);
        }
        for text in ["3", "[[1]]", "[[-1, 2]]", "[[256, 1]]"] {
            assert!(Bpe::from_json(&serde_json::from_str(text).unwrap()).is_err(), "{text}");
        }
    }
}
