//! Byte pairs as tokens of a language, with tokens for start and end.

use crate::common::bpe::Bpe;

/// The tokens of a language: byte pairs, then the start and the end of a text.
///
/// With 256 byte pairs, tokens are single bytes, that is letters in ASCII.
pub struct Tokens {
    pairs: Bpe,
    bytes: Vec<Vec<u8>>,
}

impl Tokens {
    pub fn new(pairs: Bpe) -> Self {
        let bytes = pairs.bytes();
        Self { pairs, bytes }
    }

    /// Learns at most `vocabulary` byte pairs.
    pub fn learn<'a>(texts: impl Iterator<Item = &'a str>, vocabulary: usize) -> Self {
        let mut all = String::new();
        for text in texts {
            all += &format!(" {text}\n");
        }
        Self::new(Bpe::learn(&all, vocabulary))
    }

    pub fn pairs(&self) -> &Bpe {
        &self.pairs
    }

    /// Returns the number of tokens, with start and end.
    pub fn len(&self) -> usize {
        self.pairs.len() + 2
    }

    /// The token before the first one of a text.
    pub fn start(&self) -> u32 {
        self.pairs.len() as u32
    }

    /// The token that ends a text.
    pub fn end(&self) -> u32 {
        self.pairs.len() as u32 + 1
    }

    /// Returns the tokens of a text. Its first word, too, has a space before it, so that it has the tokens that it has
    /// within a text. A space that is a token of its own is left out there.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        let mut tokens = self.pairs.encode(&format!(" {}", text.trim()));
        if tokens.first() == Some(&u32::from(b' ')) {
            tokens.remove(0);
        }
        tokens
    }

    pub fn decode(&self, tokens: &[u32]) -> String {
        let bytes: Vec<u8> = tokens.iter().flat_map(|&token| self.of(token)).copied().collect();
        String::from_utf8_lossy(&bytes).trim().to_string()
    }

    /// Returns the texts of single tokens. A part of a character becomes U+FFFD.
    pub fn names(&self, tokens: &[u32]) -> Vec<String> {
        tokens.iter().map(|&token| String::from_utf8_lossy(self.of(token)).into_owned()).collect()
    }

    /// Returns the bytes of a token; none of start and end.
    fn of(&self, token: u32) -> &[u8] {
        self.bytes.get(token as usize).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_survive_their_tokens() {
        let texts = ["the cat sat on the mat", "ça va, the cat ?", "the"];
        for vocabulary in [256, 280] {
            let tokens = Tokens::learn(texts.iter().copied(), vocabulary);
            for text in texts.into_iter().chain(["日本 😀", "x", ""]) {
                let encoded = tokens.encode(text);
                assert_eq!(tokens.decode(&encoded), text);
                assert_eq!(tokens.names(&encoded).len(), encoded.len());
                assert!(vocabulary > 256 || encoded.len() == text.len());
            }
        }
        let tokens = Tokens::learn(texts.iter().copied(), 280);
        assert_eq!(tokens.encode("the").len(), 1);
        assert_eq!(tokens.encode("the"), tokens.encode("cat the")[tokens.encode("cat").len()..]);
        assert_eq!((tokens.start() as usize, tokens.end() as usize), (tokens.len() - 2, tokens.len() - 1));
        assert_eq!(tokens.decode(&[tokens.start(), tokens.end()]), "");
    }
}
