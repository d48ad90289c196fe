//! What a network from an untrusted file must stand.

use wgru::io::{Network, TensorFile, load_network, network_to_file};
use wgru::nn::Module;
use wgru::{Device, StreamOptions, Tensor};

/// Features of the inputs that are tried; a network of more features is only saved.
const WIDEST: usize = 4096;

/// Saves a network and reads it back, and runs it on a small input, whole and as a stream. Errors are allowed.
pub fn try_out(device: &Device, network: &Network) {
    if let Ok(file) = pollster::block_on(network_to_file(network)) {
        let bytes = file.to_bytes().expect("what was made can be written");
        let file = TensorFile::from_safetensors("copy", &bytes).expect("what was written can be read");
        let copy = load_network(device, &file).expect("what was saved can be loaded");
        assert_eq!((bits(&copy), copy.skip), (bits(network), network.skip), "changed by saving");
    }
    // The features are unknown if the network has no layer with weights.
    let width = network.widths().map_or(2, |[from, _]| from);
    if width > WIDEST {
        return;
    }
    let values: Vec<f32> = (0..6 * width).map(|k| (k % 13) as f32 / 8.0 - 0.75).collect();
    if let Ok(y) = Tensor::from_slice(device, &values, &[2, 3, width]).and_then(|x| network.forward(&x)) {
        y.read_blocking().expect("computed");
    }
    if let Ok(mut stream) = network.stream(StreamOptions::default()) {
        let [from, to] = stream.widths();
        let (frames, mut out) = (vec![0.5; 3 * from], vec![0.0; 3 * to]);
        stream.process(&frames, &mut out).expect("frames of its widths");
    }
}

/// Shapes and bits of the parameters in order, without their names.
fn bits(network: &Network) -> Vec<(Vec<usize>, Vec<u32>)> {
    let values = |t: &Tensor| t.read_blocking().expect("read").iter().map(|v| v.to_bits()).collect();
    network.parameters().iter().map(|(_, t)| (t.dims().to_vec(), values(t))).collect()
}
