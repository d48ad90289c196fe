//! Shader sources: strips their comments, and parses the workgroup sizes for the checks against device limits.

/// Returns `text` without comments and without the spaces that separate neither words nor operators, and its length.
/// Writes only as much as fits in `N` bytes. Line numbers do not change, so positions in compiler messages stay
/// correct.
pub(crate) const fn bare<const N: usize>(text: &str) -> ([u8; N], usize) {
    let (text, mut out, mut len) = (text.as_bytes(), [0; N], 0);
    let (mut at, mut is_comment, mut last) = (0, false, b'\n');
    while at < text.len() {
        let byte = text[at];
        is_comment = byte != b'\n' && (is_comment || byte == b'/' && at + 1 < text.len() && text[at + 1] == b'/');
        let next = if at + 1 < text.len() { text[at + 1] } else { b'\n' };
        if !is_comment && (byte != b' ' || separates(last, next)) {
            if len < N {
                out[len] = byte;
            }
            len += 1;
            last = byte;
        }
        at += 1;
    }
    (out, len)
}

/// Whether a space between these bytes keeps two words or two operators apart.
const fn separates(last: u8, next: u8) -> bool {
    const fn is_word(byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 128
    }
    const fn is_operator(byte: u8) -> bool {
        !is_word(byte) && !matches!(byte, b' ' | b'\n' | b'(' | b')' | b'{' | b'}' | b'[' | b']' | b',' | b';' | b':')
    }
    is_word(last) && is_word(next) || is_operator(last) && is_operator(next)
}

/// Parses `@workgroup_size(x, y, z)` in the parts of a shader. Omitted axes are 1. `tests/contract.rs` compares the
/// result with naga's for every kernel.
pub(crate) fn workgroup_size(parts: &[&str]) -> [u64; 3] {
    let mut size = [1; 3];
    let written = parts.iter().find_map(|part| part.split_once("@workgroup_size(")?.1.split_once(')'));
    if let Some((numbers, _)) = written {
        size.iter_mut().zip(numbers.split(',')).for_each(|(axis, n)| *axis = n.trim().parse().unwrap_or(1));
    }
    size
}

/// Bytes of workgroup memory in the parts of a shader: the sum over `var<workgroup> name: array<type, count>;`. The type
/// may be an alias.
pub(crate) fn workgroup_bytes(parts: &[&str]) -> u64 {
    let alias = |ty: &str| -> Option<&str> {
        let start = format!("alias {ty}=");
        parts.iter().find_map(|part| Some(part.split_once(&start)?.1.split_once(';')?.0))
    };
    let bytes = |declared: &str| -> Option<u64> {
        let (ty, count) = declared.split_once("array<")?.1.split_once(';')?.0.trim_end_matches('>').rsplit_once(',')?;
        let ty = ty.trim();
        // Columns of three components are as long as those of four.
        let words = match alias(ty).unwrap_or(ty).split('<').next()? {
            "mat4x3" | "mat4x4" => 16,
            "mat4x2" => 8,
            "vec4" => 4,
            _ => 1,
        };
        Some(4 * words * count.trim().parse::<u64>().ok()?)
    };
    parts.iter().flat_map(|part| part.split("var<workgroup>").skip(1)).filter_map(bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_from_the_text() {
        let parts = [
            "var<workgroup> a: array<vec4<f32>, 256>;",
            "var<workgroup> b: array<f32, 64>;\n@compute @workgroup_size(16, 4)",
            "alias M=mat4x3<f32>;\nvar<workgroup> c: array<M, 2>;",
        ];
        assert_eq!(workgroup_size(&parts), [16, 4, 1]);
        assert_eq!(workgroup_bytes(&parts), 256 * 16 + 64 * 4 + 2 * 64);
        assert_eq!((workgroup_size(&["fn f() {}"]), workgroup_bytes(&[])), ([1; 3], 0));
    }

    #[test]
    fn comments_and_indentation_are_stripped() {
        const TEXT: &str = "// é\n\nfn f() { // g\n    let a = b / - c;\n}//";
        const WANT: &str = "\n\nfn f(){\nlet a=b/ -c;\n}";
        let (bytes, len) = bare::<64>(TEXT);
        assert_eq!(std::str::from_utf8(&bytes[..len]), Ok(WANT));
        assert_eq!(bare::<0>(TEXT).1, WANT.len());
    }
}
