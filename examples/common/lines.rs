//! Answers lines of the standard input.

use std::io::{BufRead, ErrorKind, Write};

/// Writes an answer to every line of the input as it arrives; `answer` gets the text without surrounding whitespace.
/// Ends when the input ends, or when the reader of the output has enough.
///
/// # Errors
/// Names the first line that is not UTF-8. Errors from reading, writing, and `answer`.
pub fn answer(
    mut input: impl BufRead,
    mut output: impl Write,
    mut answer: impl FnMut(&str) -> super::Result<String>,
) -> super::Result<()> {
    let (mut bytes, mut number) = (Vec::new(), 0);
    loop {
        bytes.clear();
        number += 1;
        if input.read_until(b'\n', &mut bytes)? == 0 {
            return Ok(());
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| format!("standard input: line {number}: not UTF-8"))?;
        let line = answer(text.trim())?;
        match writeln!(output, "{line}").and_then(|()| output.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_has_an_answer() {
        let mut output = Vec::new();
        answer(&b" a\n\nb"[..], &mut output, |text| Ok(format!("<{text}>"))).unwrap();
        assert_eq!(output, b"<a>\n<>\n<b>\n");
        let error = answer(&b"a\n\xff\n"[..], Vec::new(), |_| Ok(String::new())).unwrap_err().to_string();
        assert!(error.contains("line 2: not UTF-8"), "{error}");
    }
}
