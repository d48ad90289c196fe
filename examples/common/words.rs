//! Words or letters as tokens, and their numbers.

use std::collections::{BTreeMap, HashMap};

/// How texts are split into tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Letter,
    Word,
}

impl Unit {
    /// Splits text into letters, or into lower-case words and punctuation.
    pub fn split(self, text: &str) -> Vec<String> {
        if self == Unit::Letter {
            return text.trim().chars().map(String::from).collect();
        }
        let mut out: Vec<String> = Vec::new();
        let mut inside = false;
        for c in text.to_lowercase().chars() {
            let letter = c.is_alphanumeric() || c == '\'' || c == '’' || c == '-';
            match out.last_mut() {
                Some(word) if inside && letter => word.push(c),
                _ if !c.is_whitespace() => out.push(c.to_string()),
                _ => {}
            }
            inside = letter;
        }
        out
    }

    pub fn join(self, tokens: &[String]) -> String {
        tokens.join(if self == Unit::Letter { "" } else { " " })
    }
}

/// Tokens and their numbers. The first ones are special; the last of these stands for every unknown token.
pub struct Vocabulary {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    unknown: u32,
}

impl Vocabulary {
    /// Collects the tokens that occur at least `least` times, in alphabetical order after the `special` ones.
    pub fn of<'a>(texts: impl Iterator<Item = &'a [String]>, special: &[&str], least: usize) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for token in texts.flatten() {
            *counts.entry(token).or_default() += 1;
        }
        let known = counts.into_iter().filter(|(_, count)| *count >= least).map(|(token, _)| token);
        let names = special.iter().copied().chain(known).map(String::from).collect();
        Self::from_names(names, special.len())
    }

    /// Restores a vocabulary from its [`names`](Self::names), of which the first `special` are special.
    pub fn from_names(names: Vec<String>, special: usize) -> Self {
        let numbers = names.iter().zip(0..).skip(special).map(|(name, number)| (name.clone(), number)).collect();
        Self { names, numbers, unknown: special.saturating_sub(1) as u32 }
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn encode(&self, tokens: &[String]) -> Vec<u32> {
        tokens.iter().map(|token| self.numbers.get(token).copied().unwrap_or(self.unknown)).collect()
    }

    pub fn decode(&self, tokens: &[u32]) -> Vec<String> {
        let unknown = &self.names[self.unknown as usize];
        tokens.iter().map(|&token| self.names.get(token as usize).unwrap_or(unknown).clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_punctuation_are_tokens() {
        assert_eq!(Unit::Word.split(" Go away, now!  It's me."), ["go", "away", ",", "now", "!", "it's", "me", "."]);
        assert_eq!(Unit::Letter.split("3 May "), ["3", " ", "M", "a", "y"]);
    }

    #[test]
    fn rare_and_special_tokens_are_unknown() {
        let texts = [Unit::Word.split("b a b <end> <end>"), Unit::Word.split("a c")];
        let words = Vocabulary::of(texts.iter().map(|text| &text[..]), &["<end>", "<unknown>"], 2);
        assert_eq!(words.names()[..2], ["<end>", "<unknown>"]);
        let numbers = words.encode(&["a", "b", "c", "<end>"].map(String::from));
        let a = words.names().iter().position(|name| name == "a").unwrap() as u32;
        assert_eq!(numbers, [a, a + 1, 1, 1]);
        assert_eq!(words.decode(&[a, 1, 99]), ["a", "<unknown>", "<unknown>"]);
    }
}
