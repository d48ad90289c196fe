//! Numbers in text; in browsers with the reader that files of JSON need anyway, since the standard library's brings tables
//! of 10 KB that they would download.

/// The number that `text` is, as `Display` and `Debug` write it: the nearest f32, and the nearest f64 or its neighbour.
pub fn number(text: &str) -> Option<f64> {
    if cfg!(target_arch = "wasm32") { by_json(text) } else { text.parse().ok() }
}

fn by_json(text: &str) -> Option<f64> {
    match text {
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => serde_json::from_str(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn what_f32_writes_is_read_as_it_was() {
        let mut rng = Rng::new(1);
        let special =
            [0.0, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, 0.1, 16_777_216.0];
        let random = (0..200_000).map(|_| f32::from_bits(rng.next_u32())).filter(|v| !v.is_nan());
        for v in special.into_iter().chain(random) {
            for text in [format!("{v}"), format!("{v:?}")] {
                for read in [number, by_json] {
                    let bits = read(&text).map(|v| (v as f32).to_bits());
                    assert_eq!(bits, Some(v.to_bits()), "{text}");
                }
            }
        }
        for read in [number, by_json] {
            assert!(read("NaN").is_some_and(f64::is_nan));
            for bad in ["", " ", "1,5", "0x10", "1e", "true", "\"1\"", "[1]"] {
                assert_eq!(read(bad), None, "{bad}");
            }
        }
    }
}
