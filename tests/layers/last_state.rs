//! The last state of every direction, and rejection of the last step where it is not a direction's last state

use wgru::io::onnx::{self, Extent, Input};
use wgru::nn::{
    Dropout, Gru, LastState, LastStep, LayerNormGruConfig, Linear, MinGruConfig, Mode, Module, RecurrentConfig,
    RunOptions, Sequential,
};
use wgru::{Cell, Device, Error, Rng, Tensor};

use crate::common::{assert_close, fill};

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
        let want = want.read_blocking().expect("read");
        assert_eq!(got.read_blocking().expect("read"), want, "{last:?}");
        let of_run = run.last_state().expect("last state");
        assert_eq!((of_run.dims(), of_run.read_blocking().expect("read")), (got.dims(), want), "{last:?}");

        // With lengths it is that of the shorter sequence alone.
        let lengths = RunOptions { lengths: Some(&[4, 2]), ..Default::default() };
        let padded = gru.run(&x, lengths, &mut Mode::Eval).and_then(|run| run.last_state()).expect("padded");
        let (row, time) = if batch_first { (0, 1) } else { (1, 0) };
        let short = x.slice(row, 1..2).and_then(|x| x.slice(time, 0..2)).expect("the shorter sequence");
        let alone = gru.run(&short, RunOptions::default(), &mut Mode::Eval).and_then(|run| run.last_state());
        let second = padded.slice(0, 1..2).and_then(|row| row.read_blocking()).expect("read");
        let want: Vec<f64> = alone.and_then(|t| t.read_blocking()).expect("alone").iter().map(|&v| v.into()).collect();
        assert_close("the shorter sequence", &second, &want, 1e-6);
    }
    let x = Tensor::zeros(&device, &[2, 4, 3]).expect("x");
    let both = LastState { bidirectional: true, ..LastState::default() };
    assert!(both.forward(&x).is_err(), "an odd width cannot be halved");
    assert!(LastState { reverse: true, ..both }.forward(&x).is_err());
    assert!(LastState::default().forward(&x.reshape(&[8, 3]).expect("flat")).is_err());
}

#[test]
fn sequences_return_their_layers() {
    let (device, mut rng) = (Device::cpu(), Rng::new(4));
    let gru = RecurrentConfig::gru(3, 4).build(&device, &mut rng).expect("gru");
    let model =
        Sequential::new().push("gru", gru.clone()).push("gru", Linear::new(&device, 4, 1, true, &mut rng).unwrap());
    let first: &Gru = model.layer("gru").expect("the first of this name");
    // A clone shares its parameters.
    gru.parameters()[0].1.assign(&[0.25; 36]).expect("assigned");
    assert_eq!(first.parameters()[0].1.read_blocking().expect("read"), [0.25; 36]);
    let missing = model.layer::<Gru>("head").expect_err("no such layer").to_string();
    assert!(missing.contains("\"head\"") && missing.contains("\"gru\""), "{missing}");
    let other = model.layer::<Linear>("gru").expect_err("another type").to_string();
    assert!(other.contains("Linear"), "{other}");
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
