//! Random GRU, LSTM and RNN nodes that cover every attribute, against ONNX Runtime; see `generate_recurrent.py`.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::Value as Json;
use wgru::io::onnx::{OnnxModel, Value};
use wgru::{Device, Tensor};

use crate::build::{
    Bytes, Model, attribute_float, attribute_floats, attribute_int, attribute_text, attribute_texts, floats, node,
    value,
};
use crate::common::{fill, relative_error};
use crate::on_every_backend;

/// ONNX Runtime also computes in single precision: it differs from the equations in f64 by up to 1.8e-6.
const TOLERANCE: f64 = 1e-5;

const JSON: &str = include_str!("recurrent.json");
const TENSORS: &[u8] = include_bytes!("recurrent.safetensors");

on_every_backend![random_recurrent_nodes_match_onnx_runtime];

struct Case<'a> {
    n: u32,
    json: &'a Json,
}

/// Extents and values with layout 0.
type Array = (Vec<usize>, Vec<f32>);

impl Case<'_> {
    fn text(&self, key: &str) -> &str {
        self.json[key].as_str().expect("a string")
    }

    fn size(&self, key: &str) -> usize {
        self.json[key].as_u64().expect("a number") as usize
    }

    fn flag(&self, key: &str) -> bool {
        self.json[key].as_bool().unwrap_or(false)
    }

    fn numbers(&self, key: &str) -> Option<Vec<f32>> {
        Some(self.json[key].as_array()?.iter().map(|v| v.as_f64().expect("a number") as f32).collect())
    }

    fn directions(&self) -> usize {
        1 + (self.text("direction") == "bidirectional") as usize
    }

    /// The node's input tensors, by name.
    fn tensors(&self) -> BTreeMap<&'static str, Array> {
        let [t, b, i, h] = ["steps", "batch", "input", "hidden"].map(|k| self.size(k));
        let (d, g) = (
            self.directions(),
            match self.text("op") {
                "GRU" => 3,
                "LSTM" => 4,
                _ => 1,
            },
        );
        let mut out = BTreeMap::new();
        let mut add = |name, stream: u32, dims: &[usize], scale| {
            let values = fill(10 * self.n + stream, dims.iter().product(), scale);
            out.insert(name, (dims.to_vec(), values));
        };
        add("X", 0, &[t, b, i], 1.0);
        add("W", 1, &[d, g * h, i], 0.6);
        add("R", 2, &[d, g * h, h], 0.6);
        let optional: [(_, _, &[usize], _, _); 4] = [
            ("B", 3, &[d, 2 * g * h], 0.4, self.flag("bias")),
            ("initial_h", 4, &[d, b, h], 0.8, self.flag("initial_h")),
            ("initial_c", 5, &[d, b, h], 0.8, self.flag("initial_c")),
            ("P", 6, &[d, 3 * h], 0.5, self.flag("peepholes")),
        ];
        for (name, stream, dims, scale, there) in optional {
            if there {
                add(name, stream, dims, scale);
            }
        }
        out
    }

    fn attributes(&self) -> Vec<Bytes> {
        let mut out = vec![
            attribute_int("hidden_size", self.size("hidden") as i64),
            attribute_text("direction", self.text("direction")),
        ];
        for key in ["layout", "linear_before_reset", "input_forget"] {
            match self.json[key].as_i64() {
                Some(0) | None => {}
                Some(flag) => out.push(attribute_int(key, flag)),
            }
        }
        if let Some(clip) = self.json["clip"].as_f64() {
            out.push(attribute_float("clip", clip as f32));
        }
        if let Some(names) = self.json["activations"].as_array() {
            let names: Vec<String> = names.iter().map(|n| n.as_str().expect("a name").into()).collect();
            out.push(attribute_texts("activations", &names));
        }
        for key in ["activation_alpha", "activation_beta"] {
            out.extend(self.numbers(key).map(|v| attribute_floats(key, &v)));
        }
        out
    }

    /// A model that contains only this node. Its weights are constants if `constant` is set, else inputs.
    fn model(&self, tensors: &BTreeMap<&'static str, Array>, constant: bool) -> Vec<u8> {
        let lstm = self.text("op") == "LSTM";
        let order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"];
        let there = |name: &&str| {
            tensors.contains_key(*name) || (**name == *"sequence_lens" && self.json["lengths"].is_array())
        };
        let count = if lstm { 8 } else { 6 };
        let names: Vec<&str> = order[..count].iter().map(|name| if there(name) { *name } else { "" }).collect();
        let outputs: &[&str] = if lstm { &["Y", "Y_h", "Y_c"] } else { &["Y", "Y_h"] };
        let mut model = Model {
            opset: self.size("opset") as i64,
            nodes: vec![node(self.text("op"), &names, outputs, &self.attributes())],
            outputs: outputs.iter().map(|name| value(name, 1, &[-1; 4][..if *name == "Y" { 4 } else { 3 }])).collect(),
            ..Model::default()
        };
        for name in names.iter().filter(|n| !n.is_empty()) {
            if *name == "sequence_lens" {
                model.inputs.push(value(name, 6, &[-1]));
                continue;
            }
            let (dims, values) = &tensors[name];
            let dims: Vec<i64> = dims.iter().map(|&d| d as i64).collect();
            if constant && matches!(*name, "W" | "R" | "B" | "P") {
                model.initializers.push(floats(name, &dims, values));
            } else {
                model.inputs.push(value(name, 1, &vec![-1; dims.len()]));
            }
        }
        model.bytes()
    }

    /// The permutation of axes that converts a tensor to layout 1, if the case uses it.
    fn permutation(&self, name: &str) -> Option<Vec<usize>> {
        let axes: &[usize] = match name {
            "Y" => &[2, 0, 1, 3],
            "X" | "initial_h" | "initial_c" | "Y_h" | "Y_c" => &[1, 0, 2],
            _ => return None,
        };
        (self.json["layout"] == 1).then(|| axes.to_vec())
    }

    /// Runs the model. Returns the outputs with layout 0.
    fn run(&self, device: &Device, constant: bool) -> BTreeMap<String, Array> {
        let tensors = self.tensors();
        let model = OnnxModel::load(device, &self.model(&tensors, constant)).unwrap_or_else(|e| panic!("{self}: {e}"));
        let names: Vec<String> = model.inputs().map(|info| info.name.clone()).collect();
        let input = |name: &String| -> Value {
            if name == "sequence_lens" {
                let lengths: Vec<i64> =
                    self.json["lengths"].as_array().expect("lengths").iter().filter_map(Json::as_i64).collect();
                return Value::ints(&lengths, &[lengths.len()]).expect("lengths");
            }
            let (dims, values) = &tensors[name.as_str()];
            let tensor = Tensor::from_slice(device, values, dims).expect("uploaded");
            match self.permutation(name) {
                Some(axes) => tensor.permute(&axes).expect("permuted").into(),
                None => tensor.into(),
            }
        };
        let inputs: Vec<(&str, Value)> = names.iter().map(|name| (name.as_str(), input(name))).collect();
        let outputs = model.run(&inputs).unwrap_or_else(|e| panic!("{self}: {e}"));
        let output = |(name, value): (String, Value)| {
            let mut tensor = value.as_tensor().expect("floats").clone();
            if let Some(axes) = self.permutation(&name) {
                let mut back = vec![0; axes.len()];
                axes.iter().enumerate().for_each(|(i, &a)| back[a] = i);
                tensor = tensor.permute(&back).expect("permuted back");
            }
            (name, (tensor.dims().to_vec(), tensor.read_blocking().expect("read")))
        };
        outputs.into_iter().map(output).collect()
    }
}

impl std::fmt::Display for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "case {}: {}", self.n, self.json)
    }
}

fn random_recurrent_nodes_match_onnx_runtime(device: &Device) {
    let json: Json = serde_json::from_str(JSON).expect("recurrent.json");
    let file = SafeTensors::deserialize(TENSORS).expect("recurrent.safetensors");
    let cases = json["cases"].as_array().expect("cases");
    assert!(cases.len() >= 200, "fixtures are missing");
    let mut worst = 0.0f64;
    let mut failed = Vec::new();
    for (n, json) in cases.iter().enumerate() {
        let case = Case { n: n as u32, json };
        // Every fifth node takes its weights as inputs.
        for (name, (dims, got)) in case.run(device, n % 5 != 0) {
            let want = file.tensor(&format!("{n}.{name}")).expect("an output");
            assert_eq!(dims, want.shape(), "{case}: {name}");
            let number = |b: &[u8]| f32::from_le_bytes(b.try_into().expect("four bytes")) as f64;
            let want: Vec<f64> = want.data().chunks_exact(4).map(number).collect();
            let error = relative_error(&got, &want);
            worst = worst.max(error);
            if error > TOLERANCE {
                failed.push(format!("{case}: {name} {error:.1e}"));
            }
        }
    }
    println!("{} recurrent nodes on {}: worst error {worst:.1e}", cases.len(), device.info().name);
    assert!(failed.is_empty(), "{} outputs differ:\n{}", failed.len(), failed[..failed.len().min(20)].join("\n"));
}

#[test]
fn invalid_sequence_lengths_are_named() {
    let device = Device::cpu();
    for layout in [0, 1] {
        let inputs = ["X", "W", "R", "", "sequence_lens"];
        let model = Model {
            opset: 14,
            nodes: vec![node("GRU", &inputs, &["Y"], &[attribute_int("layout", layout)])],
            initializers: vec![floats("W", &[1, 3, 1], &[0.5; 3]), floats("R", &[1, 3, 1], &[0.25; 3])],
            // This crate treats int32 and int64 as one type.
            inputs: vec![value("X", 1, &[-1, -1, 1]), value("sequence_lens", 7, &[-1])],
            outputs: vec![value("Y", 1, &[])],
        };
        let model = OnnxModel::load(&device, &model.bytes()).expect("loaded");
        let run = |lengths: &[i64]| {
            let (steps, batch) = if layout == 1 { (2, 4) } else { (4, 2) };
            let x = Tensor::zeros(&device, &[steps, batch, 1]).expect("x");
            let lengths = Value::ints(lengths, &[lengths.len()]).expect("lengths");
            model.run(&[("X", x.into()), ("sequence_lens", lengths)]).map(drop)
        };
        run(&[4, 0]).expect("lengths that fit");
        for (lengths, got) in
            [(&[3, -1][..], "got -1"), (&[5, 4], "got 5"), (&[4], "got [1]"), (&[1, i64::MIN], "got -92")]
        {
            let error = run(lengths).expect_err("lengths that do not fit").to_string();
            assert!(error.contains("sequence_lens") && error.contains(got), "{lengths:?}: {error}");
        }
    }
}
