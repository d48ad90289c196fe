//! Parses nested lists of numbers.

/// Maximum nesting depth of an array.
const MAX_AXES: usize = 8;

/// Parses checked text as an array: lists of equal lengths, nested up to eight deep. Returns its extents and its values
/// in row-major order; `None` for any other value, and for a number beyond the range of f32.
pub fn array(text: &str) -> Option<(Vec<usize>, Vec<f32>)> {
    let (mut dims, mut counts, mut values) = (Vec::<Option<usize>>::new(), Vec::new(), Vec::new());
    let mut rest = text.trim();
    while let Some(byte) = rest.bytes().next() {
        let mut len = 1;
        match byte {
            b'[' if counts.len() < MAX_AXES => {
                counts.push(0);
                if dims.len() < counts.len() {
                    // A list cannot begin at the depth of the numbers.
                    if !values.is_empty() || dims.iter().any(Option::is_some) {
                        return None;
                    }
                    dims.push(None);
                }
            }
            b']' => {
                let count = counts.pop()?;
                if *dims.get_mut(counts.len())?.get_or_insert(count) != count {
                    return None;
                }
                if let Some(outer) = counts.last_mut() {
                    *outer += 1;
                }
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' => {}
            b'-' | b'0'..=b'9' if counts.len() == dims.len() => {
                len = rest.bytes().take_while(|b| !matches!(b, b',' | b']' | b' ' | b'\t' | b'\n' | b'\r')).count();
                let value = rest[..len].parse::<f64>().ok()? as f32;
                values.push(Some(value).filter(|v| v.is_finite())?);
                *counts.last_mut()? += 1;
            }
            _ => return None,
        }
        rest = &rest[len..];
    }
    let dims: Vec<usize> = dims.into_iter().collect::<Option<_>>()?;
    (!dims.is_empty() && dims.iter().product::<usize>() == values.len()).then_some((dims, values))
}

#[cfg(test)]
mod tests {
    use super::array;

    #[test]
    fn arrays_have_the_extents_of_their_lists() {
        assert_eq!(array("[1, -2.5e0 ,3]"), Some((vec![3], vec![1.0, -2.5, 3.0])));
        assert_eq!(array(" [[1,2],\n[3,4],[5,6]]"), Some((vec![3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])));
        assert_eq!(array("[[[7]]]"), Some((vec![1, 1, 1], vec![7.0])));
        assert_eq!(array("[]"), Some((vec![0], vec![])));
        assert_eq!(array("[[],[]]"), Some((vec![2, 0], vec![])));
        for bad in [
            "1",
            "\"1\"",
            "{}",
            "[[1],[2,3]]",
            "[1,[2]]",
            "[[1],2]",
            "[[],1]",
            "[[],[1]]",
            "[[],[[]]]",
            "[null]",
            "[true]",
            "[\"1\"]",
            "[{}]",
            "[1e400]",
            "[1e39]",
            "[[[[[[[[[1]]]]]]]]]",
            "",
        ] {
            assert_eq!(array(bad), None, "{bad}");
        }
    }
}
