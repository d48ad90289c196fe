//! What a network from an untrusted file must stand.

use std::collections::HashMap;

use wgru::io::onnx::{Extent, Info, OnnxModel, Value};
use wgru::io::{Network, TensorFile, load_network, network_to_file};
use wgru::nn::Module;
use wgru::{Device, StreamOptions, Tensor};

/// Larger weights amplify rounding too much for a comparison.
const LARGEST: f32 = 64.0;
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

/// Runs the ONNX model that a network was read from, and compares an output with that of the network. Axes of the model
/// may have any order, so all are tried. Models that amplify small changes are left out, since they amplify rounding, too.
pub fn agrees(device: &Device, bytes: &[u8], network: &Network) {
    let model = OnnxModel::load(device, bytes).expect("a network was read from it");
    let is_small = |t: &Tensor| t.read_blocking().expect("read").iter().all(|v| v.abs() <= LARGEST);
    if !network.parameters().iter().all(|(_, t)| is_small(t)) {
        return;
    }
    let [from, _] = network.widths().unwrap_or([2, 2]);
    let infos: Vec<&Info> = model.inputs().collect();
    let len = |dims: &[usize]| dims.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= 1 << 12);
    let mut known = HashMap::new();
    let dims = extents(infos[0], [2, 3, from], &mut known);
    let Some(count) = len(&dims) else { return };
    let x: Vec<f32> = (0..count).map(|k| (k * 7 % 13) as f32 / 8.0 - 0.7).collect();
    let run = |by: f32| -> Option<Vec<Vec<f32>>> {
        // The number of sequences is the one or the other extent.
        (1..=3).find_map(|rows| {
            let x: Vec<f32> = x.iter().enumerate().map(|(k, v)| v + by * (k % 3) as f32).collect();
            let mut given = vec![(infos[0].name.as_str(), Value::from(Tensor::from_slice(device, &x, &dims).ok()?))];
            for info in &infos[1..] {
                let dims = extents(info, [rows; 3], &mut known.clone());
                given.push((&info.name, Tensor::from_slice(device, &vec![0.0; len(&dims)?], &dims).ok()?.into()));
            }
            let outputs = model.run(&given).ok()?;
            outputs.iter().map(|(_, y)| y.as_tensor().ok()?.read_blocking().ok()).collect()
        })
    };
    let (Some(want), Some(moved)) = (run(0.0), run(1e-6)) else { return };
    if !want.iter().zip(&moved).all(|(a, b)| close(a, b, 1e-4)) {
        return;
    }
    let x = Tensor::from_slice(device, &x, &dims).expect("its extents");
    let given = match dims[..] {
        [_, _, _] => vec![x.permute(&[1, 0, 2]).expect("three axes"), x],
        [rows, width] => vec![x.reshape(&[1, rows, width]), x.reshape(&[rows, 1, width]), Ok(x)]
            .into_iter()
            .map(|x| x.expect("the same"))
            .collect(),
        _ => return,
    };
    let mut got = Vec::new();
    for y in given.iter().filter_map(|x| network.forward(x).ok()) {
        let orders: &[&[usize]] = match y.dims().len() {
            3 => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
            _ => &[&[0, 1], &[1, 0]],
        };
        got.extend(orders.iter().map(|order| y.permute(order).and_then(|y| y.read_blocking()).expect("computed")));
    }
    let is_same = want.iter().any(|want| got.iter().any(|got| close(want, got, 1e-3)));
    assert!(is_same, "another function than the model's: {want:?} became {:?}", got.first());
}

fn close(a: &[f32], b: &[f32], by: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= by * (1.0 + a.abs()))
}

/// Extents of an input, with `open` for those that the model leaves open.
fn extents<'a>(info: &'a Info, open: [usize; 3], known: &mut HashMap<&'a str, usize>) -> Vec<usize> {
    const FREE: &[Extent] = &[Extent::Free, Extent::Free, Extent::Free];
    let dims = info.dims.as_deref().unwrap_or(FREE);
    let open = |axis: usize| if axis + 1 == dims.len() { open[2] } else { open[axis.min(1)] };
    dims.iter()
        .enumerate()
        .map(|(axis, extent)| match extent {
            Extent::Fixed(n) => *n,
            Extent::Named(name) => *known.entry(name).or_insert(open(axis)),
            Extent::Free => open(axis),
        })
        .collect()
}

/// Shapes and bits of the parameters in order, without their names.
fn bits(network: &Network) -> Vec<(Vec<usize>, Vec<u32>)> {
    let values = |t: &Tensor| t.read_blocking().expect("read").iter().map(|v| v.to_bits()).collect();
    network.parameters().iter().map(|(_, t)| (t.dims().to_vec(), values(t))).collect()
}
