//! Configurations of Keras models of a megabyte.

use wgru::Device;
use wgru::io::{TensorFile, load_network};

use super::zip::{stored, zip};
use super::{WEIGHTS, measured};

/// Repeats parts, joined by commas, up to a megabyte.
fn many(part: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for k in 0.. {
        if text.len() > 1_000_000 {
            break;
        }
        text += &part(k);
        text.push(',');
    }
    text.pop();
    text
}

/// A graph whose output is the last layer.
fn graph(layers: &str, last: &str) -> String {
    let ends = format!("\"input_layers\":[[\"a\",0,0]],\"output_layers\":[[\"{last}\",0,0]]");
    format!("{{\"class_name\":\"Functional\",\"config\":{{\"layers\":[{layers}],{ends}}}}}")
}

#[test]
fn configurations_take_a_second_at_most() {
    let sequence = |layers: &str| format!("{{\"class_name\":\"Sequential\",\"config\":[{layers}]}}");
    let relu = |name: &str, inputs: &str| {
        format!("{{\"class_name\":\"ReLU\",\"name\":\"{name}\",\"inbound_nodes\":[[{inputs}]]}}")
    };
    let input = "{\"class_name\":\"InputLayer\",\"name\":\"a\",\"inbound_nodes\":[]}";
    let after = |k: usize| match k {
        0 => input.to_string(),
        1 => relu("1", "[\"a\",0,0]"),
        k => relu(&k.to_string(), &format!("[\"{}\",0,0]", k - 1)),
    };
    let chain = many(after);
    let last = chain.matches("ReLU").count().to_string();
    let sum =
        format!("{{\"class_name\":\"Add\",\"name\":\"b\",\"inbound_nodes\":[[{}]]}}", many(|_| "[\"a\",0,0]".into()));
    let empty = |_| "{\"class_name\":\"Sequential\",\"config\":[{\"class_name\":\"ReLU\"}]}".to_string();
    let option = |k: usize| format!("\"{k}\":1");
    let long = format!("{{\"class_name\":\"{}\",\"config\":{{{}}}}}", "a".repeat(1000), many(option));
    for (what, is_good, config) in [
        ("layers", true, sequence(&many(|_| "{\"class_name\":\"ReLU\",\"config\":{}}".into()))),
        ("a chain", true, graph(&chain, &last)),
        ("references", true, graph(&format!("{input},{sum}"), "b")),
        ("models", true, sequence(&many(empty))),
        ("options of a long name", false, sequence(&long)),
        ("a layer that is missing", false, graph(input, "b")),
        ("depth", false, "{\"class_name\":\"Sequential\",\"config\":[".repeat(20) + &"]}".repeat(20)),
    ] {
        let archive = zip(&[stored("config.json", config.as_bytes()), stored("model.weights.h5", WEIGHTS)]);
        let device = Device::cpu();
        let network = measured(what, || load_network(&device, &TensorFile::import_bytes("hostile", &archive)?));
        assert_eq!(network.is_ok(), is_good, "{what}: {:?}", network.err());
    }
}
