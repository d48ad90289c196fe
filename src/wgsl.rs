//! Shaders as they are shipped: without what only readers need

/// `text` without comments and the spaces that begin lines, and its length; as much of it as fits in `N` bytes. Lines keep
/// their numbers, so that what a compiler says of them can be found.
pub(crate) const fn bare<const N: usize>(text: &str) -> ([u8; N], usize) {
    let (text, mut out, mut len) = (text.as_bytes(), [0; N], 0);
    let (mut at, mut is_comment, mut begins) = (0, false, true);
    while at < text.len() {
        let byte = text[at];
        is_comment = byte != b'\n' && (is_comment || byte == b'/' && at + 1 < text.len() && text[at + 1] == b'/');
        begins = byte == b'\n' || begins && byte == b' ';
        if !is_comment && (byte == b'\n' || !begins) {
            if len < N {
                out[len] = byte;
            }
            len += 1;
        }
        at += 1;
    }
    (out, len)
}

#[cfg(test)]
mod tests {
    use super::bare;

    #[test]
    fn what_only_readers_need_is_left_out() {
        const TEXT: &str = "// é\n\nfn f() { // g\n    let a = b / c;\n}//";
        const WANT: &str = "\n\nfn f() { \nlet a = b / c;\n}";
        let (bytes, len) = bare::<64>(TEXT);
        assert_eq!(std::str::from_utf8(&bytes[..len]), Ok(WANT));
        assert_eq!(bare::<0>(TEXT).1, WANT.len());
    }
}
