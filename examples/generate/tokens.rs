//! Characters or byte pairs as tokens.

use wgru::Result;
use wgru::io::TensorFile;

use crate::common::bpe::Bpe;
use crate::common::files::{json, metadata, refuse};

/// The tokens of a model.
#[derive(Clone, Debug, PartialEq)]
pub enum Tokens {
    /// Characters in ascending order.
    Chars(Vec<char>),
    Pairs(Bpe),
}

const KIND: &str = "generate.tokens";
const CHARACTERS: &str = "generate.characters";
const MERGES: &str = "generate.merges";

impl Tokens {
    /// Returns the characters of a text.
    pub fn characters(text: &str) -> Self {
        let mut all: Vec<char> = text.chars().collect();
        all.sort_unstable();
        all.dedup();
        Tokens::Chars(all)
    }

    pub fn len(&self) -> usize {
        match self {
            Tokens::Chars(all) => all.len(),
            Tokens::Pairs(pairs) => pairs.len(),
        }
    }

    /// Returns the first character of a text that is not among the tokens. Byte pairs can write any text.
    pub fn unknown(&self, text: &str) -> Option<char> {
        match self {
            Tokens::Chars(all) => text.chars().find(|c| all.binary_search(c).is_err()),
            Tokens::Pairs(_) => None,
        }
    }

    /// Returns the tokens of a text, without its unknown characters.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        match self {
            Tokens::Chars(all) => text.chars().filter_map(|c| all.binary_search(&c).ok()).map(|i| i as u32).collect(),
            Tokens::Pairs(pairs) => pairs.encode(text),
        }
    }

    /// Returns the bytes of every token.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        match self {
            Tokens::Chars(all) => all.iter().map(|c| c.to_string().into_bytes()).collect(),
            Tokens::Pairs(pairs) => pairs.bytes(),
        }
    }

    pub fn write(&self, file: &mut TensorFile) {
        let (kind, key, value) = match self {
            Tokens::Chars(all) => ("chars", CHARACTERS, serde_json::json!(all.iter().collect::<String>())),
            Tokens::Pairs(pairs) => ("bpe", MERGES, pairs.to_json()),
        };
        file.metadata.insert(KIND.into(), kind.into());
        file.metadata.insert(key.into(), value.to_string());
    }

    /// Reads tokens that [`Tokens::write`] wrote.
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field.
    pub fn read(file: &TensorFile) -> Result<Self> {
        match metadata(file, KIND)? {
            "chars" => {
                let value = json(file, CHARACTERS)?;
                let all: Vec<char> = value.as_str().unwrap_or_default().chars().collect();
                match all.is_empty() || !all.is_sorted_by(|a, b| a < b) {
                    true => Err(refuse(CHARACTERS, "expected characters in ascending order")),
                    false => Ok(Tokens::Chars(all)),
                }
            }
            "bpe" => Ok(Tokens::Pairs(Bpe::from_json(&json(file, MERGES)?).map_err(|why| refuse(MERGES, why))?)),
            other => Err(refuse(KIND, format!("{other:?} is not known"))),
        }
    }
}

/// Turns tokens into text as they come. The bytes of a character may arrive one by one; bytes that are no text become
/// U+FFFD.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Adds bytes, and returns the text that is complete.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        self.pending.extend_from_slice(bytes);
        let mut out = String::new();
        loop {
            match std::str::from_utf8(&self.pending) {
                Ok(text) => {
                    out.push_str(text);
                    self.pending.clear();
                    return out;
                }
                Err(error) => {
                    let (valid, rest) = self.pending.split_at(error.valid_up_to());
                    out.push_str(&String::from_utf8_lossy(valid));
                    let Some(wrong) = error.error_len() else {
                        self.pending = rest.to_vec();
                        return out;
                    };
                    out.push('\u{fffd}');
                    self.pending = rest[wrong..].to_vec();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_a_file() {
        let text = "to be, or not: ça";
        for tokens in [Tokens::characters(text), Tokens::Pairs(Bpe::learn(text, 258))] {
            let mut file = TensorFile::default();
            tokens.write(&mut file);
            assert_eq!(Tokens::read(&file).unwrap(), tokens);
            let bytes: Vec<u8> = tokens.encode(text).iter().flat_map(|&t| tokens.bytes()[t as usize].clone()).collect();
            assert_eq!(bytes, text.as_bytes());
            for key in [CHARACTERS, MERGES, KIND] {
                if file.metadata.insert(key.into(), "[[1,300]]".into()).is_some() {
                    assert!(Tokens::read(&file).is_err(), "{key}");
                }
            }
        }
        let letters = Tokens::characters("abc");
        assert_eq!((letters.unknown("abd"), letters.encode("dab")), (Some('d'), vec![0, 1]));
    }

    #[test]
    fn characters_are_written_when_complete() {
        let mut decoder = Decoder::default();
        let bytes = "é😀".as_bytes();
        let parts: Vec<String> = bytes.iter().map(|&byte| decoder.push(&[byte])).collect();
        assert_eq!(parts, ["", "é", "", "", "", "😀"]);
        assert_eq!(decoder.push(&[b'a', 0xff, b'b', 0xc3]), "a\u{fffd}b");
        assert_eq!(decoder.push(b"c"), "\u{fffd}c");
    }
}
