//! Unescapes and escapes JSON strings.

use std::collections::BTreeMap;

/// Unescapes a checked string; `None` for any other value, and for half of a surrogate pair.
pub fn text(value: &str) -> Option<String> {
    let mut rest = value.strip_prefix('"')?.strip_suffix('"')?.chars();
    let mut out = String::with_capacity(value.len() - 2);
    while let Some(c) = rest.next() {
        out.push(match c {
            '\\' => match rest.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let first = unit(&mut rest)?;
                    let code = match first {
                        0xd800..0xdc00 if rest.next()? == '\\' && rest.next()? == 'u' => match unit(&mut rest)? {
                            second @ 0xdc00..0xe000 => 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                            _ => return None,
                        },
                        code => code,
                    };
                    char::from_u32(code)?
                }
                c => c,
            },
            c => c,
        });
    }
    Some(out)
}

/// Parses four hexadecimal digits.
fn unit(rest: &mut std::str::Chars) -> Option<u32> {
    (0..4).try_fold(0, |code, _| Some(16 * code + rest.next()?.to_digit(16)?))
}

/// Returns the text as a JSON string, in quotes.
pub fn quoted(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let short = match c {
            '"' | '\\' => c,
            '\u{8}' => 'b',
            '\u{c}' => 'f',
            '\n' => 'n',
            '\r' => 'r',
            '\t' => 't',
            '\0'..='\x1f' => {
                out.push_str("\\u00");
                out.push(HEX[c as usize / 16].into());
                out.push(HEX[c as usize % 16].into());
                continue;
            }
            _ => {
                out.push(c);
                continue;
            }
        };
        out.push('\\');
        out.push(short);
    }
    out.push('"');
    out
}

/// Returns strings by key as a JSON object.
pub fn write_texts(texts: &BTreeMap<String, String>) -> String {
    let mut out = String::from("{");
    for (key, text) in texts {
        if out.len() > 1 {
            out.push(',');
        }
        out += &quoted(key);
        out.push(':');
        out += &quoted(text);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_written_and_read_as_by_serde_json() {
        let all: String = ('\0'..='\u{2fff}').chain(['\u{e000}', '\u{ffff}', '\u{10000}', '\u{10ffff}']).collect();
        assert_eq!(quoted(&all), serde_json::to_string(&all).expect("JSON"));
        assert_eq!(text(&quoted(&all)), Some(all.clone()));
        let texts = BTreeMap::from([(all.clone(), "b".into()), ("".into(), all), ("\"".into(), "\\".into())]);
        assert_eq!(write_texts(&texts), serde_json::to_string(&texts).expect("JSON"));
        assert_eq!(write_texts(&BTreeMap::new()), "{}");
        for escaped in [
            r#""\u00e9\uD83D\ude00\/\"\\\b\f\n\r\t""#,
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\ud800\ud800""#,
            r#""\udc00""#,
            r#""\ud83d x""#,
            "1",
            "[]",
            "null",
        ] {
            assert_eq!(text(escaped), serde_json::from_str::<String>(escaped).ok(), "{escaped}");
        }
    }
}
