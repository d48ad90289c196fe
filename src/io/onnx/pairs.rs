//! Pairs of an input and an output that carry state from call to call.

use super::info::{Extent, Info};
use crate::error::{Error, Result};

/// Options of a stream.
///
/// ```
/// use wgru::io::onnx::StreamOptions;
/// let pair = ["input_3".to_string(), "tf_op_layer_stack_2".to_string()];
/// let options = StreamOptions { pairs: Some(vec![pair]), ..StreamOptions::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// Pairs of an input and the output that it continues, by their names. By default, they are found by name and
    /// shape: `state` and `stateN`, `h0` and `hn`, `conv_cache` and `conv_cache_out`. Where the names do not tell, an
    /// input and an output are a pair if they have at least three axes, the extents of the input are fixed, and no
    /// others fit. The first input and the first output are the signal, and never a pair.
    pub pairs: Option<Vec<[String; 2]>>,
    /// Whether recurrent nodes keep their states, which the graph may not expose. Default: only in a model without
    /// pairs. A node whose initial state is computed from an input never does: the input takes precedence.
    pub nodes: Option<bool>,
}

/// Indices of an input and of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub input: usize,
    pub output: usize,
}

/// Words that say that a value is a state.
const STATES: &[&str] = &[
    "state", "h", "c", "cache", "mem", "memory", "buffer", "buf", "rnn", "gru", "lstm", "hist", "history", "carry",
    "kv", "context", "ctx",
];

/// Words that only tell the old state from the new one.
const MARKERS: &[&str] = &[
    "in", "inp", "input", "i", "0", "prev", "previous", "past", "old", "init", "initial", "last", "out", "output", "o",
    "n", "next", "new", "present", "final", "cur", "current", "updated",
];

/// Splits a name into words, without those that tell the old state from the new one.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in name.chars() {
        let starts = !last.is_alphanumeric()
            || last.is_ascii_digit() != c.is_ascii_digit()
            || (last.is_lowercase() && c.is_uppercase());
        if c.is_alphanumeric() {
            match words.last_mut() {
                Some(word) if !starts => word.extend(c.to_lowercase()),
                _ => words.push(c.to_lowercase().collect()),
            }
        }
        last = c;
    }
    let plain = |word: String| match &*word {
        "hn" | "hx" | "hidden" | "hin" | "hout" => "h".into(),
        "cn" | "cx" | "cell" | "cin" | "cout" => "c".into(),
        "states" | "statein" | "stateout" => "state".into(),
        "caches" => "cache".into(),
        _ => word,
    };
    words.into_iter().map(plain).filter(|word| !MARKERS.contains(&&**word)).collect()
}

fn is_state(words: &[String]) -> bool {
    words.iter().any(|word| STATES.contains(&&**word))
}

/// Whether a value of one shape can continue as a value of the other.
fn fits(a: &Info, b: &Info) -> bool {
    let same = |(a, b): (&Extent, &Extent)| match (a, b) {
        (Extent::Fixed(a), Extent::Fixed(b)) => a == b,
        _ => true,
    };
    a.float == b.float
        && match (&a.dims, &b.dims) {
            (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(b).all(same),
            _ => true,
        }
}

/// Returns the pairs that the user named.
pub fn given(pairs: &[[String; 2]], inputs: &[&Info], outputs: &[&Info]) -> Result<Vec<Pair>> {
    const OP: &str = "OnnxModel::stream_with";
    let find = |infos: &[&Info], name: &str| {
        let names = || infos.iter().take(8).map(|info| &*info.name).collect::<Vec<_>>().join(", ");
        let place = infos.iter().position(|info| info.name == name);
        place.ok_or_else(|| Error::value(OP, "pairs", format!("one of {}", names()), name))
    };
    let mut out: Vec<Pair> = Vec::with_capacity(pairs.len());
    for [input, output] in pairs {
        let pair = Pair { input: find(inputs, input)?, output: find(outputs, output)? };
        if out.iter().any(|other| other.input == pair.input) {
            return Err(Error::value(OP, "pairs", "each input once", format!("{input} twice")));
        }
        if !fits(inputs[pair.input], outputs[pair.output]) {
            let expected = format!("an output of the type and extents of {input}");
            return Err(Error::value(OP, "pairs", expected, output));
        }
        out.push(pair);
    }
    Ok(out)
}

/// Finds pairs by name and shape.
///
/// # Errors
/// [`Error::Value`] naming the candidates if a state input has several.
pub fn found(inputs: &[&Info], outputs: &[&Info]) -> Result<Vec<Pair>> {
    let of = |infos: &[&Info]| infos.iter().map(|info| words(&info.name)).collect::<Vec<_>>();
    let (from, to) = (of(inputs), of(outputs));
    let mut out: Vec<Pair> = Vec::new();
    // First by equal names, then by what is left over.
    for exact in [true, false] {
        for input in 0..inputs.len() {
            if !is_state(&from[input]) || out.iter().any(|pair| pair.input == input) {
                continue;
            }
            let is_candidate = |&output: &usize| {
                let named = if exact { from[input] == to[output] } else { is_state(&to[output]) };
                named && fits(inputs[input], outputs[output]) && out.iter().all(|pair| pair.output != output)
            };
            let candidates: Vec<usize> = (0..outputs.len()).filter(is_candidate).collect();
            match candidates[..] {
                [] => {}
                [output] => out.push(Pair { input, output }),
                _ => {
                    let names: Vec<&str> = candidates.iter().take(8).map(|&i| &*outputs[i].name).collect();
                    let expected = format!(
                        "one output that continues {:?}; name it in StreamOptions::pairs, or give no pairs",
                        inputs[input].name
                    );
                    return Err(Error::value("OnnxModel::stream", "states", expected, names.join(", ")));
                }
            }
        }
    }
    by_shape(inputs, outputs, &mut out);
    out.sort_unstable_by_key(|pair| pair.input);
    Ok(out)
}

/// Adds pairs of values after the first whose shapes fit only each other.
fn by_shape(inputs: &[&Info], outputs: &[&Info], out: &mut Vec<Pair>) {
    let is_stated = |info: &Info| match &info.dims {
        Some(dims) => dims.len() >= 3 && dims.iter().all(|e| matches!(e, Extent::Fixed(_))),
        None => false,
    };
    for input in 1..inputs.len() {
        if !is_stated(inputs[input]) || out.iter().any(|pair| pair.input == input) {
            continue;
        }
        let fitting: Vec<usize> = (0..outputs.len()).filter(|&o| fits(inputs[input], outputs[o])).collect();
        if let [output] = fitting[..]
            && output > 0
            && inputs.iter().filter(|other| fits(other, outputs[output])).count() == 1
            && out.iter().all(|pair| pair.output != output)
        {
            out.push(Pair { input, output });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infos(list: &[(&str, &[usize])]) -> Vec<Info> {
        let dims =
            |dims: &[usize]| dims.iter().map(|&d| if d == 0 { Extent::Free } else { Extent::Fixed(d) }).collect();
        list.iter().map(|(name, d)| Info { name: name.to_string(), dims: Some(dims(d)), float: true }).collect()
    }

    fn pairs(inputs: &[(&str, &[usize])], outputs: &[(&str, &[usize])]) -> Result<Vec<(String, String)>> {
        let (inputs, outputs) = (infos(inputs), infos(outputs));
        let (inputs, outputs): (Vec<&Info>, Vec<&Info>) = (inputs.iter().collect(), outputs.iter().collect());
        let name = |pair: &Pair| (inputs[pair.input].name.clone(), outputs[pair.output].name.clone());
        Ok(found(&inputs, &outputs)?.iter().map(name).collect())
    }

    #[test]
    fn pairs_are_found_by_name_and_shape() {
        let state: &[usize] = &[2, 0, 128];
        for (input, output) in [
            ("state", "stateN"),
            ("h0", "hn"),
            ("h_0", "h_n"),
            ("conv_cache", "conv_cache_out"),
            ("state_in", "state_out"),
            ("input_h", "output_h"),
            ("past_state", "present_state"),
            ("init_hidden", "final_hidden"),
            ("onnx::hidden", "new_hidden"),
            ("c0", "cn"),
            ("hidden_in", "lstm_h"),
        ] {
            let inputs: &[(&str, &[usize])] = &[("input", &[1, 512]), (input, state)];
            let outputs: &[(&str, &[usize])] = &[("output", &[1, 512]), (output, state)];
            assert_eq!(pairs(inputs, outputs).unwrap(), [(input.to_string(), output.to_string())]);
        }
        let two: &[(&str, &[usize])] = &[("h0", state), ("c0", state), ("x", &[1, 4])];
        let found = pairs(two, &[("y", &[1, 4]), ("cn", state), ("hn", state)]).unwrap();
        assert_eq!(found, [("h0".into(), "hn".into()), ("c0".into(), "cn".into())]);
        let layers: &[(&str, &[usize])] = &[("state_1", state), ("state_2", state)];
        let found = pairs(layers, &[("state_2_out", state), ("state_1_out", state)]).unwrap();
        let want = [("state_1", "state_1_out"), ("state_2", "state_2_out")].map(|(a, b)| (a.into(), b.into()));
        assert_eq!(found, want);
    }

    #[test]
    fn other_values_are_not_paired() {
        let dtln: &[(&str, &[usize])] = &[("input_2", &[1, 1, 257]), ("input_3", &[1, 2, 128, 2])];
        let found = pairs(dtln, &[("activation_2", &[1, 1, 257]), ("stack_2", &[0, 2, 128, 2])]).unwrap();
        assert_eq!(found, [("input_3".into(), "stack_2".into())]);
        // Another input or output of this shape, and the first output.
        let masks: &[(&str, &[usize])] = &[("x", &[1, 1, 257]), ("mask", &[1, 1, 257])];
        assert_eq!(pairs(masks, &[("y", &[1, 1, 257]), ("z", &[1, 1, 257])]).unwrap(), []);
        assert_eq!(pairs(&[("x", &[1, 4]), ("k", &[1, 2, 8])], &[("y", &[1, 2, 8])]).unwrap(), []);
        // A signal, another shape, and several candidates.
        assert_eq!(pairs(&[("audio_in", &[1, 256])], &[("audio_out", &[1, 256])]).unwrap(), []);
        assert_eq!(pairs(&[("input", &[1, 256])], &[("output", &[1, 256])]).unwrap(), []);
        assert_eq!(pairs(&[("state", &[2, 1, 64])], &[("stateN", &[2, 1, 32])]).unwrap(), []);
        let error = pairs(&[("state", &[2, 64])], &[("state_out", &[2, 64]), ("new_state", &[2, 64])]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("\"state\"") && text.contains("state_out, new_state"), "{text}");
    }
}
