//! The network: vectors of tokens, a GRU, and logits of the next token.

use std::sync::{Mutex, PoisonError};

use wgru::io::TensorFile;
use wgru::nn::{Embedding, Gru, Linear, Mode, Module, RecurrentConfig, RunOptions, named_parameters};
use wgru::train::loss::{CrossEntropyOptions, cross_entropy, cross_entropy_with};
use wgru::train::{Batch, Reduction};
use wgru::{Device, Result, Rng, Tensor};

use crate::common::files::{load, metadata, refuse, size};
use crate::tokens::Tokens;

/// Rows and steps that a text is measured in.
const MEASURED: (usize, usize) = (32, 100);
/// Tokens that a row reads before those on which it is measured, so that it does not begin from nothing.
const WARM_UP: usize = 300;
/// Standard deviation of the vectors of tokens before training.
const SPREAD: f32 = 0.3;

/// Sizes of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    pub embedding: usize,
    pub hidden: usize,
    pub layers: usize,
}

/// Tokens and sizes of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    pub tokens: Tokens,
    pub sizes: Sizes,
    /// Whether it was trained on questions and answers.
    pub is_chat: bool,
}

/// A language model, trained or loaded.
pub struct LanguageModel {
    pub spec: Spec,
    pub device: Device,
    pub embedding: Embedding,
    pub gru: Gru,
    pub head: Linear,
    dropout: f32,
}

/// The state that is carried from one window to the next, and the last loss.
#[derive(Debug, Default)]
pub struct Carried(Mutex<(Option<Tensor>, Option<Tensor>)>);

impl Carried {
    /// Continues from a state `[layers, rows, H]`.
    pub fn from_state(state: Option<Tensor>) -> Self {
        Self(Mutex::new((state, None)))
    }

    fn get(&self) -> std::sync::MutexGuard<'_, (Option<Tensor>, Option<Tensor>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn state(&self) -> Option<Tensor> {
        self.get().0.clone()
    }

    /// Reads the loss of the last update.
    pub fn loss(&self) -> Option<f32> {
        let loss = self.get().1.clone();
        loss.and_then(|loss| loss.item_blocking().ok())
    }
}

const MARK: &str = "generate.version";

impl Spec {
    fn write(&self, file: &mut TensorFile) {
        self.tokens.write(file);
        for (key, value) in [
            (MARK, "1".to_string()),
            ("generate.chat", self.is_chat.to_string()),
            ("generate.embedding", self.sizes.embedding.to_string()),
            ("generate.hidden", self.sizes.hidden.to_string()),
            ("generate.layers", self.sizes.layers.to_string()),
        ] {
            file.metadata.insert(key.into(), value);
        }
    }

    fn read(file: &TensorFile) -> Result<Self> {
        if metadata(file, MARK)? != "1" {
            return Err(refuse(MARK, "written by another version of this example"));
        }
        Ok(Self {
            tokens: Tokens::read(file)?,
            sizes: Sizes {
                embedding: size(file, "generate.embedding")?,
                hidden: size(file, "generate.hidden")?,
                layers: size(file, "generate.layers")?,
            },
            is_chat: metadata(file, "generate.chat")? == "true",
        })
    }
}

impl LanguageModel {
    /// Creates a model with random weights. Dropout acts during training, on vectors and states.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn new(device: &Device, spec: Spec, dropout: f32, rng: &mut Rng) -> Result<Self> {
        let Sizes { embedding: width, hidden, layers } = spec.sizes;
        let embedding = Embedding::new(device, spec.tokens.len(), width, rng)?;
        let table: Vec<f32> = embedding.weight().read_blocking()?.iter().map(|v| SPREAD * v).collect();
        embedding.weight().assign(&table)?;
        let gru = RecurrentConfig { layers, dropout, batch_first: true, ..RecurrentConfig::gru(width, hidden) };
        Ok(Self {
            embedding,
            gru: gru.build(device, rng)?,
            head: Linear::new(device, hidden, spec.tokens.len(), true, rng)?,
            device: device.clone(),
            dropout,
            spec,
        })
    }

    /// Returns all parameters with their names.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        named_parameters(&[("embedding", &self.embedding), ("gru", &self.gru), ("head", &self.head)])
    }

    /// Returns logits `[B, T, V]` after each of the tokens `[B, T]`, and the state after the last.
    fn read(&self, tokens: &Tensor, state: Option<&Tensor>, mode: &mut Mode) -> Result<(Tensor, Tensor)> {
        let x = self.embedding.forward_with(tokens, mode)?;
        let x = mode.dropout(&x, self.dropout)?;
        let run = self.gru.run(&x, RunOptions { h0: state, ..Default::default() }, mode)?;
        let y = mode.dropout(&run.output, self.dropout)?;
        Ok((self.head.forward_with(&y, mode)?, run.h_n))
    }

    /// Returns the mean cross-entropy of a batch of [`Rows`](crate::text::Rows), whose windows follow on from those
    /// before. The first window of an epoch begins from nothing.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn loss(&self, batch: &Batch, carried: &Carried, mode: &mut Mode) -> Result<Tensor> {
        let state = carried.state().filter(|_| batch.examples().first() != Some(&0));
        let (logits, state) = self.read(batch.x(), state.as_ref(), mode)?;
        let loss = cross_entropy(&logits, batch.targets())?;
        *carried.get() = (Some(state.detach()), Some(loss.detach()));
        Ok(loss)
    }

    /// Returns the sum of `−ln P` in nats of the tokens from `start` on, each predicted from all before it. The first
    /// token of all is not predicted.
    ///
    /// The tokens are measured in rows side by side, each of which first reads the tokens before its own.
    ///
    /// # Errors
    /// Errors from the device.
    pub fn nats(&self, tokens: &[u32], start: usize) -> Result<f64> {
        let start = start.max(1);
        let count = tokens.len().saturating_sub(start);
        if count == 0 {
            return Ok(0.0);
        }
        // All rows read as many tokens before their own. Near the beginning of a text there are not enough, so that
        // there is only one row, which reads all of them.
        let is_early = start - 1 < WARM_UP;
        let each = if is_early { count } else { count.div_ceil(MEASURED.0).max(WARM_UP.min(count)) };
        let (rows, before) = (count.div_ceil(each), WARM_UP.min(start - 1));
        let (mut state, mut total) = (None, 0.0);
        let ignored = self.spec.tokens.len() as u32;
        for first in (0..before + each).step_by(MEASURED.1) {
            let steps = MEASURED.1.min(before + each - first);
            let (mut inputs, mut targets) = (Vec::with_capacity(rows * steps), Vec::with_capacity(rows * steps));
            for (row, step) in (0..rows).flat_map(|row| (first..first + steps).map(move |step| (row, step))) {
                // The token to predict.
                let at = start + row * each + step - before;
                let is_measured = step >= before && at < tokens.len();
                inputs.push(tokens[(at - 1).min(tokens.len() - 1)]);
                targets.push(if is_measured { tokens[at] } else { ignored });
            }
            let inputs = Tensor::from_indices(&self.device, &inputs, &[rows, steps])?;
            let (logits, next) = self.read(&inputs, state.as_ref(), &mut Mode::Eval)?;
            state = Some(next);
            if targets.iter().all(|&target| target == ignored) {
                continue;
            }
            let targets = Tensor::from_indices(&self.device, &targets, &[rows, steps])?;
            let options = CrossEntropyOptions {
                ignore_index: Some(ignored),
                reduction: Reduction::None,
                ..CrossEntropyOptions::default()
            };
            let losses = cross_entropy_with(&logits, &targets, options)?.read_blocking()?;
            total += losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        }
        Ok(total)
    }

    /// Returns a file with the weights and all that is needed to use them.
    ///
    /// # Errors
    /// Errors from reading back.
    pub fn to_file(&self) -> Result<TensorFile> {
        let mut file = TensorFile::default();
        self.spec.write(&mut file);
        for (name, tensor) in self.parameters() {
            file.insert(&name, tensor.dims(), tensor.read_blocking()?);
        }
        Ok(file)
    }

    /// Reads a file of [`LanguageModel::to_file`].
    ///
    /// # Errors
    /// [`wgru::Error::Format`] naming the field or tensor that is missing or does not match.
    pub fn from_file(device: &Device, file: &TensorFile) -> Result<Self> {
        let spec = Spec::read(file)?;
        let Sizes { embedding, hidden, layers } = spec.sizes;
        // The sizes may be anything, so nothing is allocated before the file is known to hold as much.
        file.expect("embedding.weight", &[spec.tokens.len(), embedding])?;
        for layer in [0, layers - 1] {
            file.expect(&format!("gru.weight_hh_l{layer}"), &[hidden.saturating_mul(3), hidden])?;
        }
        let model = Self::new(device, spec, 0.0, &mut Rng::new(0))?;
        load(&model.parameters(), file)?;
        Ok(model)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgru::train::{Data, HostData};

    fn model() -> LanguageModel {
        let spec = Spec {
            tokens: Tokens::characters("abcde"),
            sizes: Sizes { embedding: 3, hidden: 6, layers: 2 },
            is_chat: false,
        };
        LanguageModel::new(&Device::cpu(), spec, 0.2, &mut Rng::new(1)).unwrap()
    }

    #[test]
    fn nats_are_those_of_one_token_after_another() {
        let (model, mut rng) = (model(), Rng::new(2));
        let tokens: Vec<u32> = (0..1500).map(|_| rng.below(5) as u32).collect();
        for (start, len) in [(0, 2), (1, 30), (250, 290), (5, 700), (310, 1500), (650, 700)] {
            let tokens = &tokens[..len];
            let all = Tensor::from_indices(&model.device, &tokens[..len - 1], &[1, len - 1]).unwrap();
            let logits = model.read(&all, None, &mut Mode::Eval).unwrap().0.read_blocking().unwrap();
            let nats = |at: usize| {
                let row: Vec<f64> = logits[(at - 1) * 5..at * 5].iter().map(|&v| f64::from(v)).collect();
                row.iter().map(|v| v.exp()).sum::<f64>().ln() - row[tokens[at] as usize]
            };
            let want: f64 = (start.max(1)..len).map(nats).sum();
            let got = model.nats(tokens, start).unwrap();
            // Few units forget fast.
            assert!((got - want).abs() <= 1e-4 * want, "{start} to {len}: {got} {want}");
        }
        assert_eq!(model.nats(&tokens[..1], 0).unwrap(), 0.0);
    }

    #[test]
    fn windows_continue_from_the_state_before() {
        let (model, carried) = (model(), Carried::default());
        let tokens: Vec<u32> = (0..9).map(|i| i * i % 5).collect();
        let data = HostData::from_indices(&model.device, tokens[..8].to_vec(), &[4]).unwrap();
        let data = data.with_classes(tokens[1..].to_vec()).unwrap();
        let loss = |window: usize| {
            let batch = data.batch(&[window]).unwrap();
            f64::from(model.loss(&batch, &carried, &mut Mode::Eval).unwrap().item_blocking().unwrap())
        };
        let all = model.nats(&tokens, 0).unwrap();
        for _ in 0..2 {
            let (first, second) = (loss(0), loss(1));
            assert!((4.0 * (first + second) - all).abs() < 1e-4, "{first} {second} {all}");
            assert!((loss(1) - second).abs() > 1e-6);
        }
        assert_eq!(carried.state().unwrap().dims(), [2, 1, 6]);
        assert!(carried.loss().is_some());
    }

    #[test]
    fn mismatched_files_are_refused() {
        let file = model().to_file().unwrap();
        let bytes = file.to_bytes().unwrap();
        let copy =
            LanguageModel::from_file(&Device::cpu(), &TensorFile::from_bytes("memory", &bytes).unwrap()).unwrap();
        assert_eq!(copy.spec, model().spec);
        assert_eq!(copy.nats(&[0, 1, 2], 0).unwrap(), model().nats(&[0, 1, 2], 0).unwrap());
        for (key, value) in [
            ("generate.version", "2"),
            ("generate.hidden", "4000000000"),
            ("generate.layers", "3"),
            ("generate.layers", "0"),
            ("generate.characters", "\"abcd\""),
            ("generate.characters", "\"bacde\""),
            ("generate.tokens", "bpe"),
        ] {
            let mut file = file.clone();
            file.metadata.insert(key.into(), value.into());
            let refused = LanguageModel::from_file(&Device::cpu(), &file);
            assert!(matches!(refused, Err(wgru::Error::Format { .. })), "{key} {value}");
        }
    }
}
