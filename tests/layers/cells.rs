//! Cells stepped one by one match the layers, forward and backward; configurations have one canonical form.

use wgru::nn::{Mode, Module, Recurrent, RecurrentCell, RecurrentConfig, RecurrentOptions, RunOptions};
use wgru::{Activation, Cell, Device, Error, Rng, Tensor};

use crate::common::{assert_close, fill, gpu, twin};

/// The same kernels on the same numbers, except that the layer runs one product over all steps instead of one per step.
const ORDER: f64 = 1e-6;
const STEPS: usize = 5;
const BATCH: usize = 3;
const INPUT: usize = 4;
const HIDDEN: usize = 7;

fn tensor(device: &Device, stream: u32, dims: &[usize]) -> Tensor {
    Tensor::from_slice(device, &fill(stream, dims.iter().product(), 0.9), dims).expect("tensor")
}

fn wide(t: &Tensor) -> Vec<f64> {
    t.read_blocking().expect("read").iter().map(|&v| v as f64).collect()
}

/// Compares the layer's output with the stepped one, then the gradients of the same loss.
fn check_one(device: &Device, config: &RecurrentConfig) {
    let x = tensor(device, 1, &[STEPS, BATCH, INPUT]);
    let layer = Recurrent::new(device, config.clone(), &mut Rng::new(3)).expect("layer");
    let cell = RecurrentCell::new(device, config.clone(), &mut Rng::new(3)).expect("cell");
    let train = &mut Rng::new(1);
    let mode = &mut Mode::Train(train);
    let output = layer.run(&x, RunOptions::default(), mode).expect("run").output;

    let mut h = Tensor::zeros(device, &[BATCH, config.out()]).expect("zeros");
    let mut c = None;
    let mut stepped = Vec::new();
    for t in 0..STEPS {
        let x = x.slice(0, t..t + 1).and_then(|x| x.reshape(&[BATCH, INPUT])).expect("a step");
        (h, c) = cell.step(&x, &h, c.as_ref(), mode).expect("step");
        assert_eq!(c.is_some(), config.cell == Cell::Lstm);
        stepped.push(h.reshape(&[1, BATCH, config.out()]).expect("a view"));
    }
    let stepped = Tensor::concat(&stepped.iter().collect::<Vec<_>>(), 0).expect("steps");

    let what = config.cell.to_string();
    assert_close(&what, &stepped.read_blocking().expect("read"), &wide(&output), ORDER);
    let weight = tensor(device, 9, output.dims());
    for y in [&output, &stepped] {
        y.mul(&weight).and_then(|y| y.sum()).and_then(|loss| loss.backward()).expect("backward");
    }
    for ((name, by_layer), (cell_name, by_cell)) in layer.parameters().iter().zip(cell.parameters()) {
        assert_eq!(*name, format!("{cell_name}_l0"));
        let [got, want] = [&by_cell, by_layer].map(|t| t.grad().expect("a gradient"));
        assert_close(&format!("{what}: {name}"), &got.read_blocking().expect("read"), &wide(&want), ORDER);
    }
}

fn check(device: &Device) {
    for cell in Cell::ALL {
        check_one(device, &RecurrentConfig::new(cell, INPUT, HIDDEN));
    }
    check_one(device, &RecurrentConfig { projection: 4, ..RecurrentConfig::lstm(INPUT, HIDDEN) });
}

#[test]
fn cells_match_their_layers_on_the_cpu() {
    [Device::cpu(), twin()].iter().for_each(check);
}

#[test]
fn cells_match_their_layers_on_the_gpu() {
    match gpu() {
        Some(device) => check(&device),
        None => eprintln!("SKIPPED cells on the GPU: no adapter"),
    }
}

#[test]
fn cells_refuse_sequence_options_and_wrong_shapes() {
    let device = Device::cpu();
    let base = RecurrentConfig::gru(2, 3);
    for (config, word) in [
        (RecurrentConfig { layers: 2, ..base.clone() }, "layers"),
        (RecurrentConfig { bidirectional: true, ..base.clone() }, "bidirectional"),
        (RecurrentConfig { reverse: true, ..base.clone() }, "reverse"),
        (RecurrentConfig { dropout: 0.1, ..base.clone() }, "dropout"),
        (RecurrentConfig { batch_first: true, ..base.clone() }, "batch_first"),
    ] {
        let error = RecurrentCell::new(&device, config, &mut Rng::new(0)).expect_err("refused").to_string();
        assert!(error.contains(word) && error.contains("RecurrentCell"), "{error}");
    }
    let cell = RecurrentCell::new(&device, base, &mut Rng::new(0)).expect("cell");
    let step =
        |x: &[usize], h: &[usize]| cell.step(&tensor(&device, 1, x), &tensor(&device, 1, h), None, &mut Mode::Eval);
    assert!(step(&[4, 2], &[4, 3]).is_ok());
    for (x, h) in [(&[4, 3][..], &[4, 3][..]), (&[4, 2], &[4, 2]), (&[4, 2], &[3, 3]), (&[1, 4, 2], &[4, 3])] {
        assert!(step(x, h).is_err(), "{x:?}, {h:?}");
    }
    let c = tensor(&device, 1, &[4, 3]);
    let error = cell.step(&tensor(&device, 1, &[4, 2]), &c, Some(&c), &mut Mode::Eval).err();
    assert!(matches!(error, Some(Error::Shape { arg: "c", .. })), "{error:?}");
}

fn build(config: RecurrentConfig) -> wgru::Result<Recurrent> {
    config.build(&Device::cpu(), &mut Rng::new(0))
}

/// `config()` of a layer returns the canonical form of the configuration that it was built with.
#[test]
fn configurations_have_one_canonical_form() {
    let canonical = |cell: Cell, activations: &[Activation]| {
        let config = RecurrentConfig { activations: activations.to_vec(), ..RecurrentConfig::new(cell, 2, 3) };
        build(config).expect("layer").config().clone()
    };
    for cell in Cell::ALL {
        let plain = RecurrentConfig::new(cell, 2, 3);
        assert_eq!(*build(plain.clone()).expect("layer").config(), plain);
        assert_eq!(canonical(cell, cell.activations()), plain);
    }
    let [tanh, relu] = [Cell::Rnn, Cell::RnnRelu].map(|cell| RecurrentConfig::new(cell, 2, 3));
    assert_eq!(canonical(Cell::Rnn, &[Activation::Relu]), relu);
    assert_eq!(canonical(Cell::RnnRelu, &[Activation::Tanh]), tanh);
    for cell in [Cell::Rnn, Cell::RnnRelu] {
        let softsign = RecurrentConfig { activations: vec![Activation::Softsign], ..tanh.clone() };
        assert_eq!(canonical(cell, &[Activation::Softsign]), softsign);
    }
    // Activations other than the defaults are kept.
    for cell in [Cell::Gru, Cell::GruResetBefore, Cell::Lstm] {
        for place in 0..cell.activations().len() {
            let mut activations = cell.activations().to_vec();
            activations[place] = Activation::Softsign;
            let got = canonical(cell, &activations);
            assert_eq!((got.cell, &got.activations), (cell, &activations));
        }
    }
}

#[test]
fn options_that_a_cell_lacks_are_refused_by_name() {
    let refused = |config: RecurrentConfig, name: &str| {
        let error = build(config).map(drop).expect_err(name);
        assert!(matches!(&error, Error::Value { arg, .. } if *arg == name), "{error}");
    };
    for cell in Cell::ALL {
        let plain = RecurrentConfig::new(cell, 2, 3);
        for count in [1, 2, 3, 4, 5, 6].into_iter().filter(|&count| count != cell.activations().len()) {
            refused(RecurrentConfig { activations: vec![Activation::Tanh; count], ..plain.clone() }, "activations");
        }
        let options = RecurrentOptions { zoneout_cell: 0.1, ..Default::default() };
        for (config, name) in [
            (RecurrentConfig { projection: 2, ..plain.clone() }, "projection"),
            (RecurrentConfig { peephole: true, ..plain.clone() }, "peephole"),
            (RecurrentConfig { input_forget: true, ..plain.clone() }, "input_forget"),
            (RecurrentConfig { options, ..plain.clone() }, "zoneout_cell"),
        ] {
            if cell == Cell::Lstm {
                assert!(build(config).is_ok(), "{name}");
            } else {
                refused(config, name);
            }
        }
    }
}

#[test]
fn parameters_of_another_shape_are_refused_by_name() {
    let device = Device::cpu();
    let config = RecurrentConfig {
        projection: 2,
        layers: 2,
        bidirectional: true,
        peephole: true,
        options: RecurrentOptions { learn_h0: true, ..Default::default() },
        ..RecurrentConfig::lstm(2, 3)
    };
    let want = build(config.clone()).expect("layer").parameters();
    let with = |parameter: &dyn Fn(&str, &[usize]) -> wgru::Result<Tensor>| {
        Recurrent::from_parameters(&device, config.clone(), parameter)
    };
    let mut asked = Vec::new();
    let layer = Recurrent::from_parameters(&device, config.clone(), |name, dims| {
        asked.push((name.to_string(), dims.to_vec()));
        Tensor::full(&device, asked.len() as f32, dims)
    });
    let got = layer.expect("layer").parameters();
    let extents = |all: &[(String, Tensor)]| -> Vec<(String, Vec<usize>)> {
        all.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect()
    };
    assert_eq!((&asked, extents(&got)), (&extents(&want), extents(&want)));
    for (i, (_, parameter)) in got.iter().enumerate() {
        assert_eq!(parameter.read_blocking().expect("read"), vec![i as f32 + 1.0; parameter.len()]);
    }
    for (wrong, _) in &want {
        let error = with(&|name, dims| {
            let last = dims[dims.len() - 1];
            let other = [&dims[..dims.len() - 1], &[last + (name == wrong) as usize]].concat();
            Tensor::zeros(&device, &other)
        });
        let error = error.map(drop).expect_err(wrong);
        assert!(matches!(error, Error::Shape { .. }) && error.to_string().contains(wrong), "{error}");
    }
    let indices = with(&|_, dims| Tensor::from_indices(&device, &vec![0; dims.iter().product()], dims)).err();
    assert!(matches!(indices, Some(Error::DType { .. })), "{indices:?}");
    let elsewhere = with(&|_, dims| Tensor::zeros(&twin(), dims)).err();
    assert!(matches!(elsewhere, Some(Error::DeviceMix { .. })), "{elsewhere:?}");
    let stopped = with(&|name, _| Err(Error::Stopped(name.into()))).err();
    assert!(matches!(stopped, Some(Error::Stopped(name)) if name == "weight_ih_l0"));
}
