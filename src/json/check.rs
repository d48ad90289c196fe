//! Validates JSON (RFC 8259) without building values.

/// Checks that `bytes` are one JSON value.
///
/// # Errors
/// The offset of the first invalid byte.
pub fn check(bytes: &[u8]) -> Result<(), usize> {
    let mut rest = Rest { bytes, at: 0 };
    rest.document().ok_or(rest.at)
}

/// Cursor over the bytes. Each method consumes an element of the grammar, or returns `None` at an invalid byte.
struct Rest<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Rest<'_> {
    fn document(&mut self) -> Option<()> {
        // Stack of the expected closing brackets. Recursion would let a file choose the stack depth.
        let mut open = Vec::new();
        loop {
            match self.start()? {
                b'{' => {
                    self.at += 1;
                    if self.start()? != b'}' {
                        open.push(b'}');
                        self.key()?;
                        continue;
                    }
                    self.at += 1;
                }
                b'[' => {
                    self.at += 1;
                    if self.start()? != b']' {
                        open.push(b']');
                        continue;
                    }
                    self.at += 1;
                }
                b'"' => self.string()?,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => [&b"true"[..], b"false", b"null"].into_iter().find_map(|word| self.word(word))?,
            }
            // After a value: closing brackets, then a comma or the end.
            loop {
                let next = self.start();
                match (open.last(), next) {
                    (None, None) => return Some(()),
                    (Some(close), Some(byte)) if byte == *close => {
                        open.pop();
                        self.at += 1;
                    }
                    (Some(close), Some(b',')) => {
                        self.at += 1;
                        if *close == b'}' {
                            self.key()?;
                        }
                        break;
                    }
                    _ => return None,
                }
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips whitespace and returns the next byte.
    fn start(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// Consumes a key and its colon.
    fn key(&mut self) -> Option<()> {
        self.start()?;
        self.string()?;
        self.start()?;
        self.word(b":")
    }

    fn string(&mut self) -> Option<()> {
        self.word(b"\"")?;
        loop {
            match self.peek()? {
                b'"' => return self.word(b"\""),
                b'\\' => {
                    self.at += 1;
                    match self.peek()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            let digits = self.bytes.get(self.at + 1..self.at + 5)?;
                            digits.iter().all(u8::is_ascii_hexdigit).then(|| self.at += 4)?;
                        }
                        _ => return None,
                    }
                }
                0..=0x1f => return None,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.word(b"-");
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.word(b".").is_some() {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            let _ = self.word(b"+").or_else(|| self.word(b"-"));
            self.digits()?;
        }
        Some(())
    }

    /// Consumes at least one digit.
    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    /// serde_json without a depth limit: `IgnoredAny` needs no recursion.
    fn oracle(bytes: &[u8]) -> bool {
        serde_json::from_slice::<serde_core::de::IgnoredAny>(bytes).is_ok()
    }

    #[test]
    fn check_agrees_with_serde_json_on_damaged_text() {
        let seed = br#"{"a\u00e9\n":[1,-0.5e+3,{"b":null,"c":[]},true,false,"x\"y"],"d":{},"e":10 , "f":[ ] } "#;
        assert!(oracle(seed) && check(seed).is_ok());
        let (mut rng, alphabet) = (Rng::new(7), br#"{}[]",:0123456789.-+eEtruefalsn\u/ "#);
        let mut valid = 0;
        for _ in 0..200_000 {
            let mut text = seed.to_vec();
            for _ in 0..1 + rng.next_u32() % 3 {
                if text.is_empty() {
                    break;
                }
                let at = rng.next_u32() as usize % text.len();
                let byte = alphabet[rng.next_u32() as usize % alphabet.len()];
                match rng.next_u32() % 4 {
                    0 => text[at] = byte,
                    1 => text.insert(at, byte),
                    2 => drop(text.remove(at)),
                    _ => text.truncate(at.max(1)),
                }
            }
            // `IgnoredAny` accepts numbers that overflow; so does this check.
            assert_eq!(check(&text).is_ok(), oracle(&text), "{}", String::from_utf8_lossy(&text));
            valid += usize::from(oracle(&text));
        }
        assert!(valid > 1_000, "{valid} of the texts are JSON");
        for text in
            ["", " ", "[", "]", "1 1", "01", "-", "1.", ".5", "1e", "\"\u{1}\"", "nul", "\"\\u12g4\"", "{\"a\"}"]
        {
            assert!(check(text.as_bytes()).is_err() && !oracle(text.as_bytes()), "{text}");
        }
        let deep = [&[b'['; 1_000_000][..], &[b']'; 1_000_000]].concat();
        assert_eq!((check(&deep), check(&deep[..1_999_999])), (Ok(()), Err(1_999_999)));
    }
}
