//! Files of models.

use std::path::{Path, PathBuf};

use wgru::io::{onnx, to_nam_blocking, to_rtneural_blocking};
use wgru::nn::{Linear, RecurrentConfig, Sequential};
use wgru::{Device, Rng};

/// A folder that is deleted at the end of the test.
pub struct Models(tempfile::TempDir);

/// A recurrent layer and a linear layer to one output.
pub fn network(config: RecurrentConfig, seed: u64) -> Sequential {
    let (device, mut rng) = (Device::cpu(), Rng::new(seed));
    let hidden = config.hidden;
    let layer = RecurrentConfig { batch_first: true, ..config }.build(&device, &mut rng).expect("layer");
    let head = Linear::new(&device, hidden, 1, true, &mut rng).expect("linear");
    Sequential::new().push("layer", layer).push("head", head)
}

impl Models {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    }

    /// An LSTM of two layers of 8 units, trained at `rate`.
    pub fn nam(&self, seed: u64, rate: f64) -> PathBuf {
        let config = RecurrentConfig { layers: 2, ..RecurrentConfig::lstm(1, 8) };
        let text = to_nam_blocking(&network(config, seed), Some(rate)).expect("written");
        self.write(&format!("amp{seed} {rate}.nam"), text)
    }

    /// A GRU of 20 units.
    pub fn rtneural(&self, seed: u64) -> PathBuf {
        let text = to_rtneural_blocking(&network(RecurrentConfig::gru(1, 20), seed)).expect("written");
        self.write(&format!("gru{seed}.json"), text)
    }

    /// The model of `rtneural` with an activation after its linear layer.
    pub fn with_activation(&self, seed: u64, activation: &str) -> PathBuf {
        let text = std::fs::read_to_string(self.rtneural(seed)).expect("text");
        let text = text.replace(r#""activation": """#, &format!(r#""activation": "{activation}""#));
        self.write(&format!("{activation}.json"), text)
    }

    /// The model of `rtneural` as ONNX, with any number of steps.
    pub fn onnx(&self, seed: u64) -> PathBuf {
        let dims = vec![onnx::Extent::Fixed(1), onnx::Extent::named("steps"), onnx::Extent::Fixed(1)];
        let model = network(RecurrentConfig::gru(1, 20), seed);
        let bytes = onnx::export_blocking(&model, &onnx::Input::new("x", dims)).expect("exported");
        self.write(&format!("gru{seed}.onnx"), bytes)
    }

    /// The model of `onnx` with a sum that [`onnx::load_network`] does not take for a layer.
    pub fn onnx_graph(&self, seed: u64) -> PathBuf {
        let mut bytes = std::fs::read(self.onnx(seed)).expect("bytes");
        // The operator of a node is its field 4.
        let (add, sum) = (b"\x22\x03Add", b"\x22\x03Sum");
        let places: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(add)).collect();
        assert!(!places.is_empty(), "the bias of the linear layer");
        places.into_iter().for_each(|at| bytes[at..at + sum.len()].copy_from_slice(sum));
        assert!(onnx::load_network(&Device::cpu(), &bytes).is_err(), "a stack of layers");
        self.write(&format!("graph{seed}.onnx"), bytes)
    }

    /// An ONNX model that takes a fixed number of samples at a time.
    pub fn onnx_of_steps(&self, steps: usize) -> PathBuf {
        let dims = [1, steps, 1].map(onnx::Extent::Fixed).to_vec();
        let model = network(RecurrentConfig::gru(1, 4), 1);
        let bytes = onnx::export_blocking(&model, &onnx::Input::new("x", dims)).expect("exported");
        self.write(&format!("steps{steps}.onnx"), bytes)
    }

    /// An ONNX model of a linear layer.
    pub fn onnx_without_state(&self) -> PathBuf {
        let linear = Linear::new(&Device::cpu(), 1, 1, true, &mut Rng::new(1)).expect("linear");
        let dims = [1, 1].map(onnx::Extent::Fixed).to_vec();
        let bytes = onnx::export_blocking(&linear, &onnx::Input::new("x", dims)).expect("exported");
        self.write("linear.onnx", bytes)
    }

    /// A model that needs a second input.
    pub fn with_knob(&self) -> PathBuf {
        let text = to_rtneural_blocking(&network(RecurrentConfig::gru(2, 4), 1)).expect("written");
        self.write("knob.json", text)
    }
}

/// A file of the library's tests, written by other programs.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/readers/import").join(name)
}

/// A file of real data, if there are any.
pub fn real(name: &str) -> Option<PathBuf> {
    let Some(data) = std::env::var_os("WGRU_DATA") else {
        eprintln!("SKIPPED: WGRU_DATA is not set, so there is no real/{name}");
        return None;
    };
    let path = PathBuf::from(data).join("real").join(name);
    assert!(path.is_file(), "WGRU_DATA is set, but {} does not exist", path.display());
    Some(path)
}
