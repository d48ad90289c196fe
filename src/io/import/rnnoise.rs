//! RNNoise's models: the text files of 2018 (`.rnnn`), and the binary weights of 0.2.
//!
//! Source: xiph/rnnoise, *src/rnn_reader.c* (2018), *src/parse_lpcnet_weights.c* and *dnn/nnet.c* (0.2).

use std::collections::BTreeMap;

use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::io::budget::Budget;
use crate::io::convert::transpose;
use crate::io::{RecurrentWeights, TensorFile};

/// First bytes of a text file.
pub(super) const TEXT: &[u8] = b"rnnoise-nu model file version 1\n";
/// First bytes of every record of a binary file.
pub(super) const BINARY: &[u8] = b"DNNw";
/// Size of a record's header: signature, version, type, size, padded size, and a name of 44 bytes.
const HEAD: usize = 64;

/// Layers of a text file in order, and whether they are GRUs.
const LAYERS: [(&str, bool); 6] = [
    ("input_dense", false),
    ("vad_gru", true),
    ("noise_gru", true),
    ("denoise_gru", true),
    ("denoise_output", false),
    ("vad_output", false),
];

/// Reads a text file: per layer inputs, units, activation, then kernel, recurrent kernel and bias as multiples of
/// 1/256. The GRUs have Keras' layout and reset before the product.
pub(super) fn read_text(source: &str, bytes: &[u8], budget: &mut Budget) -> Result<TensorFile> {
    let bad = |layer: &str, why: &str| Error::format(format!("{source}: layer {layer:?}"), why);
    let text = std::str::from_utf8(&bytes[TEXT.len()..]).map_err(|_| Error::format(source, "is not text"))?;
    budget.take(|| source.into(), 8 * text.len())?;
    let mut words = text.split_ascii_whitespace();
    let mut file = TensorFile::named(source);
    for (name, is_gru) in LAYERS {
        let mut size = || words.next()?.parse::<usize>().ok().filter(|&n| n <= 128);
        let (Some(input), Some(units), Some(activation)) = (size(), size(), size()) else {
            return Err(bad(name, "has no sizes of at most 128"));
        };
        let rows = if is_gru { 3 * units } else { units };
        let mut weights = |len: usize| -> Result<Vec<f32>> {
            let numbers = words.by_ref().take(len).map(|word| Some(f32::from(word.parse::<i8>().ok()?) / 256.0));
            let numbers = numbers.collect::<Option<Vec<_>>>().filter(|found| found.len() == len);
            numbers.ok_or_else(|| bad(name, "has weights that are cut short, or not integers of 8 bits"))
        };
        let mut keras = TensorFile::named(source);
        keras.insert("kernel", &[input, rows], weights(input * rows)?);
        if is_gru {
            keras.insert("recurrent_kernel", &[units, rows], weights(units * rows)?);
        }
        keras.insert("bias", &[rows], weights(rows)?);
        let activation = ["Tanh", "Sigmoid", "Relu"].get(activation);
        let activation = activation.ok_or_else(|| bad(name, "has an activation other than 0, 1 and 2"))?;
        if is_gru {
            add_gru(&mut file, name, Cell::GruResetBefore, &keras)?;
            file.metadata.insert(format!("{name}.gru.reset_after"), "false".into());
            file.metadata.insert(format!("{name}.gru.activation.candidate"), (*activation).into());
        } else {
            add_dense(&mut file, name, keras.expect("kernel", &[input, rows])?, [input, rows]);
            file.add(&format!("{name}.bias"), &[rows], keras.expect("bias", &[rows])?.to_vec());
            file.metadata.insert(format!("{name}.activation"), activation.to_lowercase());
        }
    }
    if words.next().is_some() {
        return Err(Error::format(source, "has numbers after its last layer"));
    }
    file.metadata.insert("kind".into(), "rnnoise".into());
    file.sorted()
}

/// Adds Keras' kernel `[in, out]` as PyTorch's weight `[out, in]`.
fn add_dense(file: &mut TensorFile, name: &str, kernel: &[f32], [input, output]: [usize; 2]) {
    file.add(&format!("{name}.weight"), &[output, input], transpose(kernel, output));
}

fn add_gru(file: &mut TensorFile, name: &str, cell: Cell, keras: &TensorFile) -> Result<()> {
    let mut out = TensorFile::default();
    RecurrentWeights::from_keras(cell, keras)?.to_parameters(&mut out, 0, false);
    for (part, dims, values) in out.tensors() {
        file.add(&format!("{name}.{part}"), dims, values.to_vec());
    }
    Ok(())
}

/// Reads a binary file: records of named arrays. Layers `<name>_input` and `<name>_recurrent` become a GRU `<name>`.
pub(super) fn read_binary(source: &str, bytes: &[u8], budget: &mut Budget) -> Result<TensorFile> {
    let arrays = records(bytes, source, budget).map_err(|why| Error::format(source, why))?;
    let mut layers = BTreeMap::new();
    for name in arrays.keys() {
        let kind = ["_weights_float", "_weights_int8"].into_iter().find_map(|end| name.strip_suffix(end));
        let Some(layer) = kind.filter(|layer| !layers.contains_key(layer)) else { continue };
        let bad = |why: String| Error::format(format!("{source}: layer {layer:?}"), why);
        layers.insert(layer, Linear::read(&arrays, layer, source, budget)?.map_err(bad)?);
    }
    let mut file = TensorFile::named(source);
    for (name, layer) in &layers {
        if name.strip_suffix("_recurrent").is_some_and(|gru| layers.contains_key(&*format!("{gru}_input"))) {
            continue;
        }
        let recurrent =
            name.strip_suffix("_input").and_then(|gru| Some((gru, layers.get(&*format!("{gru}_recurrent"))?)));
        let Some((gru, recurrent)) = recurrent else {
            add_dense(&mut file, name, &layer.kernel, [layer.input, layer.output]);
            if let Some(bias) = &layer.bias {
                file.add(&format!("{name}.bias"), &[layer.output], bias.clone());
            }
            continue;
        };
        let mut keras = TensorFile::named(source);
        keras.insert("kernel", &[layer.input, layer.output], layer.kernel.clone());
        keras.insert("recurrent_kernel", &[recurrent.input, recurrent.output], recurrent.kernel.clone());
        let [ih, hh] = [layer, recurrent].map(|l| l.bias.clone().unwrap_or_else(|| vec![0.0; l.output]));
        keras.insert("bias", &[2, layer.output], [ih, hh].concat());
        add_gru(&mut file, gru, Cell::Gru, &keras)?;
    }
    file.metadata.insert("kind".into(), "rnnoise".into());
    file.sorted()
}

/// Splits a file into its arrays by name.
fn records<'a>(bytes: &'a [u8], source: &str, budget: &mut Budget) -> Result<BTreeMap<&'a str, &'a [u8]>, String> {
    let (mut arrays, mut rest) = (BTreeMap::new(), bytes);
    while !rest.is_empty() {
        let (head, after) =
            rest.split_at_checked(HEAD).filter(|(head, _)| head.starts_with(BINARY)).ok_or("is damaged")?;
        let word = |at: usize| -> Option<usize> {
            usize::try_from(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?)).ok()
        };
        let (len, padded) = (word(12).unwrap_or(usize::MAX), word(16).unwrap_or(usize::MAX));
        let (data, after) = after.split_at_checked(padded).ok_or("is cut short")?;
        let name = head[20..].split(|&b| b == 0).next().and_then(|name| std::str::from_utf8(name).ok());
        let name = name.filter(|name| name.len() < HEAD - 20).ok_or("has a name that is not text")?;
        budget.take_name(source, name.len()).map_err(|e| e.to_string())?;
        let data = data.get(..len).ok_or_else(|| format!("has an array {name:?} that is longer than its place"))?;
        if arrays.insert(name, data).is_some() {
            return Err(format!("has the array {name:?} twice"));
        }
        rest = after;
    }
    Ok(arrays)
}

/// A layer with a kernel `[in, out]`, as in Keras.
struct Linear {
    input: usize,
    output: usize,
    kernel: Vec<f32>,
    bias: Option<Vec<f32>>,
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

impl Linear {
    /// Assembles a layer. Kernels are stored as f32 `[in, out]`, or as int8 with a scale per output, in blocks of 8
    /// outputs by 4 inputs. A sparse kernel lists its blocks in `_weights_idx`: per 8 outputs their number, then the
    /// first input of each. The outer result is about the budget, the inner one about the layer.
    fn read(
        arrays: &BTreeMap<&str, &[u8]>,
        name: &str,
        source: &str,
        budget: &mut Budget,
    ) -> Result<Result<Self, String>> {
        let get = |end: &str| arrays.get(format!("{name}{end}").as_str()).copied();
        let (bias, scale) = (get("_bias").map(floats), get("_scale").map(floats));
        let plain = get("_weights_float");
        let Some(output) = bias.as_ref().or(scale.as_ref()).map(Vec::len).filter(|&n| n > 0) else {
            return Ok(Err("has neither a bias nor scales".into()));
        };
        let stored: Vec<f32> = match plain {
            Some(bytes) => floats(bytes),
            None => get("_weights_int8").unwrap_or_default().iter().map(|&b| f32::from(b as i8)).collect(),
        };
        let index: Option<Vec<usize>> = get("_weights_idx").map(|bytes| {
            bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize).collect()
        });
        if plain.is_none() && scale.as_ref().is_none_or(|scale| scale.len() != output) {
            return Ok(Err("has no scale per output".into()));
        }
        // Blocks as their first output and input.
        let mut blocks = Vec::new();
        let input = match &index {
            None => stored.len() / output,
            Some(index) => {
                let (mut rest, mut first) = (&index[..], 0);
                while let Some((&count, after)) = rest.split_first() {
                    let Some((inputs, after)) = after.split_at_checked(count) else {
                        return Ok(Err("has a damaged index".into()));
                    };
                    blocks.extend(inputs.iter().map(|&input| (first, input)));
                    (rest, first) = (after, first + 8);
                }
                let reach = blocks.iter().map(|(_, input)| input.saturating_add(4)).max().unwrap_or(0);
                let square = name.ends_with("_recurrent").then_some(output / 3);
                if first != output || square.is_some_and(|input| input < reach) || blocks.len() * 32 != stored.len() {
                    return Ok(Err("has an index that does not fit its weights".into()));
                }
                square.unwrap_or(reach)
            }
        };
        let len = input.saturating_mul(output);
        budget.take(|| format!("{source}: layer {name:?}"), len.saturating_mul(16))?;
        if index.is_none() && (len != stored.len() || (plain.is_none() && (input % 4 != 0 || output % 8 != 0))) {
            return Ok(Err(format!("has {} weights for {output} outputs", stored.len())));
        }
        if index.is_none() {
            blocks = (0..output).step_by(8).flat_map(|o| (0..input).step_by(4).map(move |i| (o, i))).collect();
        }
        let mut kernel = match (plain, &index) {
            (Some(_), None) => stored,
            _ => {
                let mut kernel = vec![0.0; len];
                for ((o, i), block) in blocks.iter().zip(stored.chunks_exact(32)) {
                    for (r, c) in (0..8).flat_map(|r| (0..4).map(move |c| (r, c))) {
                        // Float blocks list inputs first, int8 blocks outputs first; inputs are scaled by 127.
                        let value = match (plain, &scale) {
                            (None, Some(scale)) => block[4 * r + c] * scale[o + r] * 127.0,
                            _ => block[8 * c + r],
                        };
                        kernel[(i + c) * output + o + r] = value;
                    }
                }
                kernel
            }
        };
        if let Some(diagonal) = get("_weights_diag").map(floats) {
            if diagonal.len() != output || output != 3 * input {
                return Ok(Err("has a diagonal that does not fit".into()));
            }
            diagonal.iter().enumerate().for_each(|(o, value)| kernel[o % input * output + o] += value);
        }
        Ok(Ok(Self { input, output, kernel, bias }))
    }
}
