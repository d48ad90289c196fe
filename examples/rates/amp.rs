//! Models of amplifiers: recurrent layers, a linear layer, and often the input added to the output.

use std::error::Error;
use std::path::Path;

use wgru::io::{Network, TensorFile, load_network};
use wgru::nn::{Kind, Linear, Module, Recurrent};
use wgru::{Device, Interpolation, Stream, StreamOptions};

pub struct Amp {
    pub name: String,
    /// Rate at which the model was trained, in Hz.
    pub rate: u32,
    network: Network,
    /// Names of the recurrent and the linear layer.
    layers: [String; 2],
}

impl Amp {
    /// Reads a model. `rate` applies if the file does not contain a sample rate.
    ///
    /// # Errors
    /// If the file cannot be read, or the model has other layers.
    pub fn open(path: &Path, rate: u32) -> Result<Self, Box<dyn Error>> {
        let file = TensorFile::import(path)?;
        let network = load_network(&Device::cpu(), &file)?;
        let rate =
            file.metadata.get("sample_rate").and_then(|text| text.parse::<f64>().ok()).map_or(rate, |r| r as u32);
        if !(40_000..=192_000).contains(&rate) {
            return Err(format!("{}: expected a rate from 40000 to 192000 Hz, got {rate}", path.display()).into());
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let layers = match network.layers.kind() {
            Kind::Sequence(parts) => match &parts[..] {
                [(first, a), (last, b)] if matches!((a.kind(), b.kind()), (Kind::Recurrent(_), Kind::Linear)) => {
                    Some([*first, *last].map(String::from))
                }
                _ => None,
            },
            _ => None,
        };
        let layers = layers.ok_or("expected a model with a recurrent and a linear layer");
        let layers = layers.map_err(|why| format!("{}: {why}", path.display()))?;
        let amp = Self { name, rate, network, layers };
        if amp.stream(1.0, Interpolation::Linear)?.input() != 1 {
            return Err(format!("{}: expected a model with one input", path.display()).into());
        }
        Ok(amp)
    }

    fn stream(&self, rate_ratio: f64, interpolation: Interpolation) -> wgru::Result<Stream> {
        let recurrent = self.network.layers.layer::<Recurrent>(&self.layers[0])?;
        let options = StreamOptions { rate_ratio, interpolation, ..StreamOptions::default() };
        Stream::new(recurrent, options)?.then(self.network.layers.layer::<Linear>(&self.layers[1])?)
    }

    /// Returns the output for `x`. `ratio` is the ratio of rates that the stream assumes: that of `x` to that of the
    /// model.
    ///
    /// # Errors
    /// Errors of the library.
    pub fn run(&self, x: &[f32], ratio: f64, interpolation: Interpolation) -> wgru::Result<Vec<f32>> {
        let mut y = vec![0.0; x.len()];
        self.stream(ratio, interpolation)?.process(x, &mut y)?;
        if self.network.skip {
            y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
        }
        Ok(y)
    }
}
