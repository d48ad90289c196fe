//! A GRU that reads letters, and one that writes phonemes.

use std::path::Path;

use wgru::io::{TensorFile, load_parameters};
use wgru::nn::{Embedding, Gru, Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::{Device, Error, Result, Rng, Tensor};

/// Maximum number of phonemes in a pronunciation.
const MOST_PHONEMES: usize = 20;

/// Encoder and decoder of the package `g2p_en`:
///
/// ```text
/// h   = GRU(letters of the word, then </s>), its last state
/// p_0 = <s>;  h = GRU cell(p_k, h);  p_{k+1} = the largest of W·h + b;  until </s>
/// ```
///
/// Source: Park and Kim, *g2p_en: a simple Python module for English grapheme to phoneme conversion* (2019).
pub struct Model {
    device: Device,
    letters: Embedding,
    encoder: Gru,
    phonemes: Embedding,
    decoder: Gru,
    head: Linear,
    vocabulary: Vocabulary,
}

/// Tokens that the rows of the embeddings represent.
struct Vocabulary {
    graphemes: Vec<String>,
    phonemes: Vec<String>,
}

impl Vocabulary {
    fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|source| Error::Io { path: path.into(), source })?;
        let json: serde_json::Value = serde_json::from_slice(&text).map_err(|e| bad(format!("vocab.json: {e}")))?;
        let list = |key: &str| {
            let entries = json.get(key).and_then(|list| list.as_array());
            let texts = entries.and_then(|list| list.iter().map(|e| e.as_str().map(String::from)).collect());
            texts.ok_or_else(|| bad(format!("vocab.json has no list of strings {key:?}")))
        };
        Ok(Self { graphemes: list("graphemes")?, phonemes: list("phonemes")? })
    }

    fn find(list: &[String], what: &str) -> Result<u32> {
        let at = list.iter().position(|entry| entry == what);
        at.map(|k| k as u32).ok_or_else(|| bad(format!("vocab.json has no {what:?}")))
    }
}

fn bad(why: String) -> Error {
    Error::Format { what: "g2p model".into(), why }
}

impl Model {
    /// Reads `checkpoint20.npz` and `vocab.json` of a folder.
    ///
    /// # Errors
    /// Errors from the files; `Error::Format` if they do not match.
    pub fn open(device: &Device, folder: &Path) -> Result<Self> {
        let vocabulary = Vocabulary::open(&folder.join("vocab.json"))?;
        let file = TensorFile::open(folder.join("checkpoint20.npz"))?;
        let rng = &mut Rng::new(0);
        let rows_width = |name: &str| match *file.get(name)?.0 {
            [rows, width] => Ok((rows, width)),
            ref dims => Err(bad(format!("{name} has shape {dims:?}; expected [rows, width]"))),
        };
        let embedding = |name: &str, entries: usize, rng: &mut Rng| {
            let (rows, width) = rows_width(name)?;
            if rows != entries {
                return Err(bad(format!("{name} has {rows} rows for {entries} entries of vocab.json")));
            }
            let layer = Embedding::new(device, rows, width, rng)?;
            fill(&layer, &file, &[("weight", name)])?;
            Ok(layer)
        };
        let gru = |prefix: &str| {
            // weight_ih_l0 is w_ih there.
            let theirs = |ours: &str| {
                let part = ours.trim_end_matches("_l0").replace("weight", "w").replace("bias", "b");
                format!("{prefix}_{part}")
            };
            let (rows, input) = rows_width(&theirs("weight_ih_l0"))?;
            Gru::from_parameters(device, RecurrentConfig::gru(input, rows / 3), |ours, dims| {
                Tensor::from_slice(device, file.expect(&theirs(ours), dims)?, dims)
            })
        };
        let (outputs, hidden) = rows_width("fc_w")?;
        if outputs != vocabulary.phonemes.len() {
            return Err(bad(format!("fc_w has {outputs} rows for {} phonemes", vocabulary.phonemes.len())));
        }
        let head = Linear::new(device, hidden, outputs, true, rng)?;
        fill(&head, &file, &[("weight", "fc_w"), ("bias", "fc_b")])?;
        Ok(Self {
            device: device.clone(),
            letters: embedding("enc_emb", vocabulary.graphemes.len(), rng)?,
            encoder: gru("enc")?,
            phonemes: embedding("dec_emb", vocabulary.phonemes.len(), rng)?,
            decoder: gru("dec")?,
            head,
            vocabulary,
        })
    }

    /// Returns the phonemes of each word, computed in one batch. Unknown letters become `<unk>`.
    ///
    /// # Errors
    /// Errors from the device; `Error::Shape` without words.
    pub fn pronounce(&self, words: &[&str]) -> Result<Vec<Vec<String>>> {
        let mut h = self.encode(words)?;
        let (start, end) = ("<s>", Vocabulary::find(&self.vocabulary.phonemes, "</s>")?);
        let mut last = vec![Vocabulary::find(&self.vocabulary.phonemes, start)?; words.len()];
        let mut spoken = vec![Vec::new(); words.len()];
        let mut open: Vec<bool> = vec![true; words.len()];
        for _ in 0..MOST_PHONEMES {
            let index = Tensor::from_indices(&self.device, &last, &[1, words.len()])?;
            let x = self.phonemes.forward(&index)?;
            h = self.decoder.run(&x, RunOptions { h0: Some(&h), ..Default::default() }, &mut Mode::Eval)?.h_n;
            let scores = self.head.forward(&h)?.read_blocking()?;
            for (row, scores) in scores.chunks_exact(self.vocabulary.phonemes.len()).enumerate() {
                last[row] = largest(scores);
                open[row] &= last[row] != end;
                if open[row] {
                    spoken[row].push(self.vocabulary.phonemes[last[row] as usize].clone());
                }
            }
            if !open.contains(&true) {
                break;
            }
        }
        Ok(spoken)
    }

    /// Returns the encoder's last states `[1, words, H]`.
    fn encode(&self, words: &[&str]) -> Result<Tensor> {
        let list = &self.vocabulary.graphemes;
        let (end, unknown) = (Vocabulary::find(list, "</s>")?, Vocabulary::find(list, "<unk>")?);
        let letter = |c: char| Vocabulary::find(list, c.encode_utf8(&mut [0; 4])).unwrap_or(unknown);
        let rows: Vec<Vec<u32>> = words.iter().map(|w| w.chars().map(letter).chain([end]).collect()).collect();
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let steps = lengths.iter().copied().max().unwrap_or(0);
        let index: Vec<u32> = (0..steps).flat_map(|t| rows.iter().map(move |r| *r.get(t).unwrap_or(&end))).collect();
        let index = Tensor::from_indices(&self.device, &index, &[steps, words.len()])?;
        let x = self.letters.forward(&index)?;
        let input = RunOptions { lengths: Some(&lengths), ..Default::default() };
        Ok(self.encoder.run(&x, input, &mut Mode::Eval)?.h_n)
    }
}

/// Returns the index of the largest score; ties go to the first.
fn largest(scores: &[f32]) -> u32 {
    let best = scores.iter().enumerate().fold(0, |best, (k, v)| if *v > scores[best] { k } else { best });
    best as u32
}

/// Sets a layer's parameters from a file that uses other names.
fn fill(layer: &dyn Module, file: &TensorFile, names: &[(&str, &str)]) -> Result<()> {
    let mut part = TensorFile::default();
    for (ours, theirs) in names {
        let (dims, values) = file.get(theirs)?;
        part.insert(ours, dims, values.to_vec());
    }
    load_parameters(layer, &part)
}
