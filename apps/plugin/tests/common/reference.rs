//! The equations of models in f64, read from their files without the library.

use std::path::Path;

use serde_json::Value;

/// A network of one input and one output.
pub struct Network {
    layers: Vec<Layer>,
    skip: bool,
    gains: [f64; 2],
}

/// A layer with `weight` rows per output, in the order of the gates.
enum Layer {
    /// Gates i, f, g, o. Rows have the columns of the input, then those of the state.
    Lstm {
        rows: Vec<Vec<f64>>,
        bias: Vec<f64>,
        h: Vec<f64>,
        c: Vec<f64>,
    },
    /// Keras with `reset_after`: gates z, r, n, and a bias of the input and of the state.
    Gru {
        input: Vec<Vec<f64>>,
        state: Vec<Vec<f64>>,
        bias: [Vec<f64>; 2],
        h: Vec<f64>,
    },
    Dense {
        rows: Vec<Vec<f64>>,
        bias: Vec<f64>,
        activation: String,
    },
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Layer {
    fn step(&mut self, x: &[f64]) -> Vec<f64> {
        match self {
            Layer::Lstm { rows, bias, h, c } => {
                let xh = [x, h].concat();
                let gates: Vec<f64> = rows.iter().zip(&*bias).map(|(row, bias)| bias + dot(row, &xh)).collect();
                let units = h.len();
                for k in 0..units {
                    let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * units + k]);
                    c[k] = sigmoid(f) * c[k] + sigmoid(i) * g.tanh();
                    h[k] = sigmoid(o) * c[k].tanh();
                }
                h.clone()
            }
            Layer::Gru { input, state, bias, h } => {
                let units = h.len();
                let of = |rows: &[Vec<f64>], bias: &[f64], v: &[f64], row: usize| bias[row] + dot(&rows[row], v);
                let next = (0..units).map(|k| {
                    let [xz, xr, xn] = [0, 1, 2].map(|gate| of(input, &bias[0], x, gate * units + k));
                    let [hz, hr, hn] = [0, 1, 2].map(|gate| of(state, &bias[1], h, gate * units + k));
                    let (z, n) = (sigmoid(xz + hz), (xn + sigmoid(xr + hr) * hn).tanh());
                    z * h[k] + (1.0 - z) * n
                });
                *h = next.collect();
                h.clone()
            }
            Layer::Dense { rows, bias, activation } => {
                let outputs = rows.iter().zip(&*bias).map(|(row, bias)| bias + dot(row, x));
                let activate = |v: f64| match &**activation {
                    "" => v,
                    "tanh" => v.tanh(),
                    "relu" => v.max(0.0),
                    "sigmoid" => sigmoid(v),
                    "elu" if v < 0.0 => v.exp() - 1.0,
                    "elu" => v,
                    other => panic!("no equation of {other}"),
                };
                outputs.map(activate).collect()
            }
        }
    }
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

/// The columns of a matrix, which Keras stores as rows of inputs.
fn columns(value: &Value) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f64>> = value.as_array().expect("rows").iter().map(list).collect();
    (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column]).collect()).collect()
}

/// The numbers of a `.nam` file as the f32 that programs read.
fn nam(json: &Value) -> Network {
    let size = |key: &str| json["config"][key].as_u64().expect("a size") as usize;
    let (hidden, weights) = (size("hidden_size"), list(&json["weights"]));
    let mut rest = &weights[..];
    let mut take = |len: usize| {
        let (taken, after) = rest.split_at(len);
        rest = after;
        taken.iter().map(|&v| f64::from(v as f32)).collect::<Vec<f64>>()
    };
    let mut layers = Vec::new();
    for layer in 0..size("num_layers") {
        let width = hidden + if layer == 0 { 1 } else { hidden };
        let rows = (0..4 * hidden).map(|_| take(width)).collect();
        layers.push(Layer::Lstm { rows, bias: take(4 * hidden), h: take(hidden), c: take(hidden) });
    }
    layers.push(Layer::Dense { rows: vec![take(hidden)], bias: take(1), activation: String::new() });
    assert!(rest.is_empty());
    Network { layers, skip: false, gains: [1.0; 2] }
}

fn rtneural(json: &Value) -> Network {
    let layer = |layer: &Value| {
        let weights = &layer["weights"];
        let units = layer["shape"].as_array().expect("a shape").last().and_then(Value::as_u64).expect("units") as usize;
        match layer["type"].as_str().expect("a type") {
            "lstm" => {
                let (input, state) = (columns(&weights[0]), columns(&weights[1]));
                let rows = input.into_iter().zip(state).map(|(a, b)| [a, b].concat()).collect();
                Layer::Lstm { rows, bias: list(&weights[2]), h: vec![0.0; units], c: vec![0.0; units] }
            }
            "gru" => Layer::Gru {
                input: columns(&weights[0]),
                state: columns(&weights[1]),
                bias: [list(&weights[2][0]), list(&weights[2][1])],
                h: vec![0.0; units],
            },
            "dense" | "time-distributed-dense" => Layer::Dense {
                rows: columns(&weights[0]),
                bias: list(&weights[1]),
                activation: layer["activation"].as_str().unwrap_or_default().to_string(),
            },
            other => panic!("no equations of {other}"),
        }
    };
    let layers = json["layers"].as_array().expect("layers").iter().map(layer).collect();
    let gain = |key: &str| 10.0f64.powf(json[key].as_f64().unwrap_or(0.0) / 20.0);
    Network { layers, skip: json["in_skip"] == 1, gains: [gain("in_gain"), gain("out_gain")] }
}

impl Network {
    pub fn open(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("read");
        let json: Value = serde_json::from_str(&text).expect("JSON");
        if json["architecture"] == "LSTM" { nam(&json) } else { rtneural(&json) }
    }

    fn step(&mut self, x: f64) -> f64 {
        let x = x * self.gains[0];
        let mut values = vec![x];
        for layer in &mut self.layers {
            values = layer.step(&values);
        }
        assert_eq!(values.len(), 1);
        (if self.skip { values[0] + x } else { values[0] }) * self.gains[1]
    }

    /// Returns the output for a signal after half a second of silence at `rate`.
    pub fn run(mut self, rate: f64, x: &[f32]) -> Vec<f64> {
        for _ in 0..(rate / 2.0) as usize / 64 * 64 {
            self.step(0.0);
        }
        x.iter().map(|&x| self.step(x.into())).collect()
    }
}
