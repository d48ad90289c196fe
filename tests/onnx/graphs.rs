//! Networks of Keras as ONNX models: the same outputs as the native graph, for every layer that it runs.

use wgru::io::{TensorFile, load_network, onnx};
use wgru::nn::Module;
use wgru::{Device, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

/// The same operations in another order.
const ROUNDING: f64 = 1e-6;
/// f32 against Keras, which computes in f32, too.
const OUTPUT: f64 = 2e-6;

on_every_backend![models_of_keras_give_the_same_as_onnx_models];

macro_rules! fixtures {
    ($($name:literal),*) => {
        [$((
            $name,
            &include_bytes!(concat!("../readers/keras/", $name, ".keras"))[..],
            &include_bytes!(concat!("../readers/keras/", $name, ".h5"))[..],
            &include_bytes!(concat!("../readers/keras/", $name, ".npz"))[..],
        )),*]
    };
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v.into()).collect()
}

/// Runs the network of a file natively on the CPU, and as an ONNX model on `device`. Returns both outputs.
fn both(device: &Device, name: &str, file: &TensorFile, dims: &[usize], x: &[f32]) -> [(Vec<usize>, Vec<f32>); 2] {
    let cpu = Device::cpu();
    let network = load_network(&cpu, file).unwrap_or_else(|e| panic!("{name}: {e}"));
    let input = onnx::Input::of(&network).unwrap_or_else(|| panic!("{name}: no input"));
    let (native, value) = match input.indices {
        true => {
            let indices: Vec<u32> = x.iter().map(|&v| v as u32).collect();
            let ints: Vec<i64> = x.iter().map(|&v| v as i64).collect();
            (Tensor::from_indices(&cpu, &indices, dims).expect("x"), onnx::Value::ints(&ints, dims).expect("x"))
        }
        false => {
            (Tensor::from_slice(&cpu, x, dims).expect("x"), Tensor::from_slice(device, x, dims).expect("x").into())
        }
    };
    let native = network.forward(&native).unwrap_or_else(|e| panic!("{name}: {e}"));
    let bytes = onnx::export_blocking(&network, &input).unwrap_or_else(|e| panic!("{name}: {e}"));
    let model = onnx::OnnxModel::load(device, &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    // Not `run_blocking`, so that nothing waits for a GPU, as in browsers.
    let run = model.run(&[("x", value)]).unwrap_or_else(|e| panic!("{name}: {e}")).remove(0).1;
    let run = run.as_tensor().expect("floats");
    [&native, run].map(|y| (y.dims().to_vec(), y.read_blocking().expect("read")))
}

fn models_of_keras_give_the_same_as_onnx_models(device: &Device) {
    for (name, keras, h5, arrays) in fixtures!("k2_masked", "k2_graph", "k3_masked", "k3_graph", "k2_cudnn", "k2_time")
    {
        let arrays = TensorFile::from_npz(name, arrays).expect("arrays");
        let (dims, x) = arrays.get("x").expect("x");
        let (want_dims, want) = arrays.get("y").expect("y");
        for bytes in [keras, h5] {
            let file = TensorFile::import_bytes(name, bytes).expect(name);
            let [native, run] = both(device, name, &file, dims, x);
            assert_eq!((&native.0[..], &run.0[..]), (want_dims, want_dims), "{name}");
            assert_close(name, &run.1, &wide(&native.1), ROUNDING);
            assert_close(name, &run.1, &wide(want), OUTPUT);
        }
    }
}

/// A file with the configuration of a sequential model, as metadata. Each layer has a class, options and weights.
#[derive(Default)]
struct Model {
    file: TensorFile,
    names: Vec<String>,
}

impl Model {
    fn layer(mut self, class: &str, options: &[(&str, &str)], weights: &[(&str, &[usize])]) -> Self {
        let name = format!("l{}", self.names.len());
        self.file.metadata.insert(format!("{name}.class_name"), class.into());
        for (key, text) in options {
            self.file.metadata.insert(format!("{name}.{key}"), text.to_string());
        }
        for (k, (part, dims)) in weights.iter().enumerate() {
            let values = fill((50 + 10 * self.names.len() + k) as u32, dims.iter().product(), 0.8);
            // A variance is above 0.
            let is_variance = part.ends_with("variance");
            let values = values.into_iter().map(|v| if is_variance { v.abs() + 0.5 } else { v }).collect();
            self.file.insert(&format!("{name}.{part}"), dims, values);
        }
        self.names.push(name);
        self
    }

    /// A layer that reads others by their numbers.
    fn reading(mut self, others: &[usize]) -> Self {
        let inputs: Vec<String> = others.iter().map(|k| format!("l{k}")).collect();
        let name = self.names.last().expect("a layer");
        self.file.metadata.insert(format!("{name}.inputs"), inputs.join(" "));
        self
    }

    fn build(mut self, class: &str) -> TensorFile {
        let ends = [("input", self.names.first()), ("output", self.names.last())];
        for (key, name) in ends.into_iter().filter(|_| class == "Functional") {
            self.file.metadata.insert(key.into(), name.expect("a layer").clone());
        }
        self.file.metadata.insert("class_name".into(), class.into());
        self.file.metadata.insert("keras_version".into(), "3.0.0".into());
        self.file.metadata.insert("layers".into(), self.names.join(" "));
        self.file
    }
}

fn start(shape: &str) -> Model {
    Model::default().layer("InputLayer", &[("batch_shape", shape)], &[])
}

/// Compares on sequences of several lengths.
#[track_caller]
fn same(name: &str, file: &TensorFile, dims: &[&[usize]], scale: f32) {
    for dims in dims {
        let x: Vec<f32> = fill(77, dims.iter().product(), scale);
        // Some steps are only zeros, which masks exclude: at the start, between others, and at the end.
        let width = dims[dims.len() - 1];
        let is_zero = |k: usize| [0, 1, 4, 8, 11, 13].contains(&(k / width));
        let x: Vec<f32> = x.into_iter().enumerate().map(|(k, v)| if is_zero(k) { 0.0 } else { v }).collect();
        let [native, run] = both(&Device::cpu(), name, file, dims, &x);
        assert_eq!(native.0, run.0, "{name} on {dims:?}");
        assert_close(&format!("{name} on {dims:?}"), &run.1, &wide(&native.1), ROUNDING);
    }
}

#[test]
fn every_layer_of_keras_has_an_onnx_form() {
    let lengths: &[&[usize]] = &[&[2, 7, 3], &[1, 8, 3], &[3, 9, 3]];
    let one = |class: &str, options: &[(&str, &str)], weights: &[(&str, &[usize])]| {
        let mut model = start("None None 3");
        if weights.is_empty() {
            model = model.layer("Dense", &[], &[("kernel", &[3, 3])]);
        }
        let model = model.layer(class, options, weights);
        same(&format!("{class} {options:?}"), &model.build("Sequential"), lengths, 2.0);
    };
    let activations = "tanh sigmoid relu elu selu softplus softsign exponential swish mish relu6 leaky_relu hard_sigmoid \
                       softmax log_softmax linear";
    for activation in activations.split_whitespace() {
        one("Dense", &[("activation", activation)], &[("kernel", &[3, 4]), ("bias", &[4])]);
    }
    one("ReLU", &[("max_value", "0.5"), ("negative_slope", "0.25")], &[]);
    one("LeakyReLU", &[("negative_slope", "0.2")], &[]);
    one("ELU", &[("alpha", "0.7")], &[]);
    one("Rescaling", &[("scale", "0.5"), ("offset", "-1.0")], &[]);
    one("ZeroPadding1D", &[("padding", "2 1")], &[]);
    one("Cropping1D", &[("cropping", "2 1")], &[]);
    one("Cropping1D", &[("cropping", "1 0")], &[]);
    one("UpSampling1D", &[("size", "3")], &[]);
    one("MaxPooling1D", &[("pool_size", "3"), ("strides", "2")], &[]);
    one("AveragePooling1D", &[("pool_size", "2")], &[]);
    one("GlobalMaxPooling1D", &[], &[]);
    one("GlobalAveragePooling1D", &[("keepdims", "true")], &[]);
    let statistics: &[(&str, &[usize])] =
        &[("gamma", &[3]), ("beta", &[3]), ("moving_mean", &[3]), ("moving_variance", &[3])];
    one("BatchNormalization", &[], statistics);
    one("LayerNormalization", &[], &[("gamma", &[3]), ("beta", &[3])]);
    one("PReLU", &[], &[("alpha", &[1, 3])]);
    for (padding, strides, dilation) in
        [("same", "1", "1"), ("same", "2", "1"), ("same", "3", "1"), ("causal", "1", "2"), ("valid", "2", "1")]
    {
        let options = [("padding", padding), ("strides", strides), ("dilation_rate", dilation), ("activation", "relu")];
        one("Conv1D", &options, &[("kernel", &[4, 3, 5]), ("bias", &[5])]);
    }
    let gru: &[(&str, &[usize])] = &[("kernel", &[3, 12]), ("recurrent_kernel", &[4, 12]), ("bias", &[2, 12])];
    for sequences in ["true", "false"] {
        let options = [("return_sequences", sequences), ("go_backwards", "true")];
        one("GRU", &options[..1], gru);
        one("GRU", &options, gru);
        for merge in ["concat", "sum", "mul", "ave"] {
            let both: Vec<(String, &[usize])> = ["forward_layer", "backward_layer"]
                .iter()
                .flat_map(|direction| gru.iter().map(move |(part, dims)| (format!("{direction}.{part}"), *dims)))
                .collect();
            let both: Vec<(&str, &[usize])> = both.iter().map(|(name, dims)| (&**name, *dims)).collect();
            let options =
                [("merge_mode", merge), ("forward_layer.return_sequences", sequences), ("return_sequences", sequences)];
            one("Bidirectional", &options, &both);
        }
    }
}

/// Layers for which the model fixes the number of steps, or that have no steps.
#[test]
fn layers_of_fixed_extents_have_an_onnx_form() {
    let fixed = |name: &str, model: Model| same(name, &model.build("Sequential"), &[&[2, 6, 3], &[3, 6, 3]], 1.0);
    fixed("Flatten", start("None 6 3").layer("Flatten", &[], &[]).layer("Dense", &[], &[("kernel", &[18, 2])]));
    fixed("Reshape", start("None 6 3").layer("Reshape", &[("target_shape", "9 -1")], &[]).layer("ReLU", &[], &[]));
    fixed("Permute", start("None 6 3").layer("Permute", &[("dims", "2 1")], &[]));
    let rows = start("None 3")
        .layer("Dense", &[("activation", "tanh")], &[("kernel", &[3, 4]), ("bias", &[4])])
        .layer("RepeatVector", &[("n", "5")], &[])
        .layer("SimpleRNN", &[("return_sequences", "true")], &[("kernel", &[4, 2]), ("recurrent_kernel", &[2, 2])]);
    same("RepeatVector", &rows.build("Sequential"), &[&[2, 3], &[5, 3]], 1.0);
}

#[test]
fn branches_and_masks_have_an_onnx_form() {
    let lengths: &[&[usize]] = &[&[2, 7, 3], &[1, 8, 3], &[3, 9, 3]];
    let gru: &[(&str, &[usize])] = &[("kernel", &[3, 9]), ("recurrent_kernel", &[3, 9]), ("bias", &[2, 9])];
    let sequences = ("return_sequences", "true");
    for merge in ["Add", "Subtract", "Multiply", "Average", "Concatenate"] {
        if merge == "Subtract" {
            let model = start("None None 3").layer("GRU", &[sequences], gru).reading(&[0]).layer(merge, &[], &[]);
            same(merge, &model.reading(&[1, 0]).build("Functional"), lengths, 1.0);
            continue;
        }
        let model = start("None None 3")
            .layer("GRU", &[sequences], gru)
            .reading(&[0])
            .layer("Dense", &[("activation", "tanh")], &[("kernel", &[3, 3])])
            .reading(&[0])
            .layer(merge, &[], &[])
            .reading(&[1, 2, 0])
            .layer(
                "LayerNormalization",
                &[("center", "false")],
                &[("gamma", &[if merge == "Concatenate" { 9 } else { 3 }])],
            )
            .reading(&[3]);
        same(merge, &model.build("Functional"), lengths, 1.0);
    }
    let model =
        start("None None 3").layer("GRU", &[sequences], gru).reading(&[0]).layer("Concatenate", &[("axis", "1")], &[]);
    same("Concatenate of steps", &model.reading(&[0, 1]).build("Functional"), lengths, 1.0);

    let masked = || start("None None 3").layer("Masking", &[], &[]).reading(&[0]);
    for zeros in ["false", "true"] {
        for backwards in ["false", "true"] {
            for sequences in ["false", "true"] {
                let options =
                    [("zero_output_for_mask", zeros), ("go_backwards", backwards), ("return_sequences", sequences)];
                let name = format!("masked {options:?}");
                same(&name, &masked().layer("GRU", &options, gru).reading(&[1]).build("Functional"), lengths, 1.0);
            }
        }
    }
    let lstm = |direction: &str| {
        [("kernel", [3, 8]), ("recurrent_kernel", [2, 8])].map(|(part, dims)| (format!("{direction}.{part}"), dims))
    };
    let both = [lstm("forward_layer"), lstm("backward_layer")].concat();
    let both: Vec<(&str, &[usize])> = both.iter().map(|(name, dims)| (&**name, &dims[..])).collect();
    let model = masked()
        .layer("Bidirectional", &[("forward_layer.return_sequences", "true"), sequences], &both)
        .reading(&[1])
        .layer("GlobalAveragePooling1D", &[], &[])
        .reading(&[2]);
    same("masked mean", &model.build("Functional"), lengths, 1.0);
    // Masks of both inputs, and of one of them.
    for merge in ["Add", "Concatenate"] {
        let model = masked()
            .layer("Masking", &[("mask_value", "0.5")], &[])
            .reading(&[0])
            .layer(merge, &[], &[])
            .reading(&[1, 2])
            .layer("Dense", &[], &[("kernel", &[if merge == "Add" { 3 } else { 6 }, 3])])
            .reading(&[3])
            .layer("GRU", &[sequences], gru)
            .reading(&[4]);
        same(merge, &model.build("Functional"), lengths, 1.0);
    }
}
