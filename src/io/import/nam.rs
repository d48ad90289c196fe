//! Neural Amp Modeler's `.nam` files with an LSTM.
//!
//! All weights are one list. Each cell has a matrix `[4·H, I + H]` with the columns of the input, then those of the
//! state, and gates i f g o; a bias `[4·H]`; the initial states `h0` and `c0` `[H]`. Then follows the head: a matrix
//! `[O, H]` and a bias `[O]`. Source: NeuralAmpModelerCore, *NAM/lstm.cpp*.

use super::tree::{array, field, flatten, size};
use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::io::budget::Budget;
use crate::json;

pub(super) fn read(source: &str, object: &str, budget: &mut Budget) -> Result<TensorFile> {
    let bad = |why: String| Error::format(source, why);
    let architecture = field(object, "architecture").and_then(json::text).unwrap_or_default();
    if architecture != "LSTM" {
        let architecture: String = architecture.chars().take(64).collect();
        let why = format!("a Neural Amp Modeler file with the architecture {architecture:?}; only LSTM is recurrent");
        return Err(bad(why));
    }
    let config = field(object, "config").unwrap_or_default();
    let number = |key: &str| size(config, key).filter(|&n| n > 0 && n <= 1 << 16);
    let [Some(input), Some(hidden), Some(layers)] = ["input_size", "hidden_size", "num_layers"].map(number) else {
        return Err(bad("has no input_size, hidden_size and num_layers of 1 to 65,536 in its config".into()));
    };
    let list = array(field(object, "weights").unwrap_or_default(), source, budget)?;
    let list = list.filter(|(dims, _)| dims.len() == 1).map(|(_, values)| values);
    let list = list.ok_or_else(|| bad("has weights that are not a list of finite numbers".into()))?;
    let mut file = TensorFile::named(source);
    flatten(&mut file, object, &["weights"], budget)?;
    let (mut rest, rows) = (&list[..], 4 * hidden);
    let mut take = |len: usize| -> Result<&[f32]> {
        let short = || bad(format!("has {} weights, too few for its config", list.len()));
        let (taken, after) = rest.split_at_checked(len).ok_or_else(short)?;
        rest = after;
        Ok(taken)
    };
    let (mut h0, mut c0) = (Vec::new(), Vec::new());
    for layer in 0..layers {
        budget.take_name(source, 0)?;
        let width = if layer == 0 { input } else { hidden };
        let matrix = take(rows.saturating_mul(width + hidden))?;
        let columns = |from: usize, to: usize| -> Vec<f32> {
            matrix.chunks_exact(width + hidden).flat_map(|row| &row[from..to]).copied().collect()
        };
        file.insert(&format!("lstm.weight_ih_l{layer}"), &[rows, width], columns(0, width));
        file.insert(&format!("lstm.weight_hh_l{layer}"), &[rows, hidden], columns(width, width + hidden));
        file.insert(&format!("lstm.bias_ih_l{layer}"), &[rows], take(rows)?.to_vec());
        file.insert(&format!("lstm.bias_hh_l{layer}"), &[rows], vec![0.0; rows]);
        h0.extend(take(hidden)?);
        c0.extend(take(hidden)?);
    }
    file.insert("lstm.h0", &[layers, 1, hidden], h0);
    file.insert("lstm.c0", &[layers, 1, hidden], c0);
    if rest.is_empty() || rest.len() % (hidden + 1) != 0 {
        return Err(bad(format!("has {} weights after its cells; expected a head of {hidden} units", rest.len())));
    }
    let outputs = rest.len() / (hidden + 1);
    let (weight, bias) = rest.split_at(outputs * hidden);
    file.insert("head.weight", &[outputs, hidden], weight.to_vec());
    file.insert("head.bias", &[outputs], bias.to_vec());
    file.sorted()
}
