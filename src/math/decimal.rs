//! Parses numbers. In browsers, the standard library's parser is avoided, because its tables would add 10 KB to the
//! download.

/// Parses a number as `Display` and `Debug` write it. The result is within a few ulp, and its nearest f32 is exact.
pub fn number(text: &str) -> Option<f64> {
    if cfg!(target_arch = "wasm32") { by_digits(text) } else { text.parse().ok() }
}

/// [`number`], computed from the first 19 digits and the power of ten.
fn by_digits(text: &str) -> Option<f64> {
    /// Exponent of the largest power of ten that f64 represents exactly.
    const WHOLE: i32 = 22;
    let (sign, digits) = text.strip_prefix('-').map_or((1.0, text), |rest| (-1.0, rest));
    match digits {
        "inf" => return Some(sign * f64::INFINITY),
        "NaN" => return Some(f64::NAN),
        _ => {}
    }
    let (digits, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "0"));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || !is_number(exponent.trim_start_matches(['+', '-'])) {
        return None;
    }
    let mut power = exponent.parse::<i32>().ok()?.clamp(-10_000, 10_000);
    let mut mantissa = 0u64;
    for (i, digit) in whole.bytes().chain(part.bytes()).enumerate() {
        let is_kept = mantissa < 10u64.pow(18);
        if is_kept {
            mantissa = 10 * mantissa + u64::from(digit - b'0');
        }
        power += i32::from(i < whole.len()) - i32::from(is_kept);
    }
    let (mut value, step) = (sign * mantissa as f64, 10f64.powi(WHOLE));
    while power > WHOLE && value.is_finite() && value != 0.0 {
        (value, power) = (value * step, power - WHOLE);
    }
    while power < -WHOLE && value != 0.0 {
        (value, power) = (value / step, power + WHOLE);
    }
    // Powers of ten up to 22 are exact.
    Some(if power < 0 { value / 10f64.powi((-power).min(WHOLE)) } else { value * 10f64.powi(power.min(WHOLE)) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn every_printed_f32_is_read_back_exactly() {
        let mut rng = Rng::new(1);
        let special =
            [0.0, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, 0.1, 16_777_216.0];
        let random = (0..200_000).map(|_| f32::from_bits(rng.next_u32())).filter(|v| !v.is_nan());
        for v in special.into_iter().chain(random) {
            for text in [format!("{v}"), format!("{v:?}")] {
                for read in [number, by_digits] {
                    let bits = read(&text).map(|v| (v as f32).to_bits());
                    assert_eq!(bits, Some(v.to_bits()), "{text}");
                }
            }
        }
        for read in [number, by_digits] {
            assert!(read("NaN").is_some_and(f64::is_nan));
            for bad in ["", " ", "1,5", "0x10", "1e", "true", "\"1\"", "[1]"] {
                assert_eq!(read(bad), None, "{bad}");
            }
        }
    }
}
