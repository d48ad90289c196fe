//! The last state of every direction, and rejection of the last step where it is not a direction's last state

use wgru::io::onnx::{self, Extent, Input};
use wgru::nn::{
    Dropout, LastState, LastStep, LayerNormGruConfig, Linear, MinGruConfig, Mode, Module, RecurrentConfig, RunOptions,
    Sequential,
};
use wgru::{Cell, Device, Error, Rng, Tensor};

use crate::common::fill;

#[test]
fn last_state_is_h_n_of_every_direction() {
    let (device, mut rng) = (Device::cpu(), Rng::new(4));
    for (bidirectional, reverse, batch_first) in
        [(false, false, true), (false, true, true), (true, false, true), (true, false, false), (false, true, false)]
    {
        let config = RecurrentConfig { layers: 2, bidirectional, reverse, batch_first, ..RecurrentConfig::gru(3, 5) };
        let gru = config.build(&device, &mut rng).expect("gru");
        let dims = if batch_first { [2, 4, 3] } else { [4, 2, 3] };
        let x = Tensor::from_slice(&device, &fill(1, 24, 1.0), &dims).expect("x");
        let run = gru.run(&x, RunOptions::default(), &mut Mode::Eval).expect("run");
        let last = LastState { batch_first, bidirectional, reverse };
        let got = last.forward(&run.output).expect("last state");
        let directions = 1 + usize::from(bidirectional);
        let layers = run.h_n.dims()[0];
        let want = run.h_n.slice(0, layers - directions..layers).and_then(|h| h.permute(&[1, 0, 2])).expect("h_n");
        assert_eq!(got.dims(), [2, directions * 5]);
        assert_eq!(got.read_blocking().expect("read"), want.read_blocking().expect("read"), "{last:?}");
    }
    let x = Tensor::zeros(&device, &[2, 4, 3]).expect("x");
    let both = LastState { bidirectional: true, ..LastState::default() };
    assert!(both.forward(&x).is_err(), "an odd width cannot be halved");
    assert!(LastState { reverse: true, ..both }.forward(&x).is_err());
    assert!(LastState::default().forward(&x.reshape(&[8, 3]).expect("flat")).is_err());
}

#[test]
fn last_step_of_a_reverse_direction_is_refused() {
    let (device, mut rng) = (Device::cpu(), Rng::new(4));
    let x = Tensor::zeros(&device, &[2, 4, 3]).expect("x");
    let last = || LastStep { batch_first: true };
    let refused = |model: Sequential, option: &str| {
        let text = model.forward(&x).expect_err(option).to_string();
        assert!(text.contains(option) && text.contains("LastState"), "{text}");
        let dims = [Extent::Fixed(2), Extent::Fixed(4), Extent::Fixed(3)].to_vec();
        let exported = pollster::block_on(onnx::export(&model, &Input::new("x", dims)));
        assert!(matches!(exported, Err(Error::Value { op: "LastStep", .. })), "{:?}", exported.err());
    };
    for (bidirectional, reverse, option) in [(true, false, "bidirectional"), (false, true, "reverse")] {
        let batch_first = true;
        macro_rules! layer {
            ($config:ident) => {
                $config { input: 3, hidden: 4, bidirectional, reverse, batch_first, ..$config::default() }
                    .build(&device, &mut rng)
                    .expect("layer")
            };
        }
        for cell in Cell::ALL {
            let config = RecurrentConfig { bidirectional, reverse, batch_first, ..RecurrentConfig::new(cell, 3, 4) };
            let layer = config.build(&device, &mut Rng::new(4)).expect("layer");
            refused(Sequential::new().push("a", layer).push("b", last()), option);
        }
        refused(Sequential::new().push("a", layer!(MinGruConfig)).push("b", last()), option);
        refused(Sequential::new().push("a", layer!(LayerNormGruConfig)).push("b", last()), option);
        // Layers that act on each step separately, and nested models, make no difference.
        let nested =
            Sequential::new().push("gru", layer!(RecurrentConfig)).push("drop", Dropout::new(0.1).expect("dropout"));
        refused(Sequential::new().push("in", nested).push("b", last()), option);
    }
    let gru = |bidirectional| {
        let config = RecurrentConfig { bidirectional, batch_first: true, ..RecurrentConfig::gru(3, 4) };
        config.build(&device, &mut Rng::new(1)).expect("gru")
    };
    let forward = Sequential::new().push("a", gru(false)).push("b", last());
    assert_eq!(forward.forward(&x).expect("a forward layer").dims(), [2, 4]);
    // The last step of a forward layer on top of a bidirectional one has seen every step.
    let second = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(8, 4) };
    let second = second.build(&device, &mut Rng::new(1)).expect("gru");
    let stacked = Sequential::new().push("a", gru(true)).push("b", second).push("c", last());
    assert_eq!(stacked.forward(&x).expect("a forward layer").dims(), [2, 4]);
    let linear = Linear::new(&device, 8, 2, true, &mut Rng::new(1)).expect("linear");
    let state = LastState { batch_first: true, bidirectional: true, reverse: false };
    let model = Sequential::new().push("a", gru(true)).push("b", state).push("c", linear);
    assert_eq!(model.forward(&x).expect("last states").dims(), [2, 2]);
}
