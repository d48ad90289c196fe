//! Models on several devices: selection, measurement, and diverging weights.

use std::cell::RefCell;
use std::time::Duration;

use wgru::nn::{Gru, Module, RecurrentConfig};
use wgru::{Device, Error, Result, Rng, Router, Tensor};

use crate::common::{assert_close, fill, twin};

/// Eight consecutive cells on a different device.
const DEVICES: f64 = 1e-6;
const DIMS: [usize; 3] = [8, 3, 4];

fn gru(device: &Device, seed: u64) -> Result<Gru> {
    RecurrentConfig::gru(4, 5).build(device, &mut Rng::new(seed))
}

/// The CPU and its twins, so that there are two devices wherever the tests run. The models start with different
/// weights.
fn router() -> Router<Gru> {
    let mut seed = 0;
    let build = |device: &Device| {
        seed += 1;
        gru(device, seed)
    };
    Router::new(&[Device::cpu(), twin()], build).expect("a router")
}

fn forward(gru: &Gru, device: &Device) -> Result<Vec<f32>> {
    let x = Tensor::from_slice(device, &fill(1, DIMS.iter().product(), 1.0), &DIMS)?;
    gru.forward(&x)?.read_blocking()
}

fn output(router: &Router<Gru>, index: usize) -> Vec<f32> {
    let (gru, device) = router.model(index).expect("a device");
    forward(gru, device).expect("run")
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| v as f64).collect()
}

#[test]
fn calls_go_to_the_device_that_was_faster_for_their_shape() {
    let router = router();
    let names = [0, 1].map(|i| router.model(i).expect("a device").1.info().name.clone());
    assert_ne!(names[0], names[1]);
    let ran = RefCell::new(Vec::new());
    for fast in [1, 0] {
        let call = |_: &Gru, device: &Device| {
            let index = usize::from(device.info().name == names[1]);
            ran.borrow_mut().push(index);
            if index != fast {
                std::thread::sleep(Duration::from_millis(60));
            }
            Ok(index)
        };
        assert!(router.choice(&[fast]).is_none());
        assert_eq!(router.run(&[fast], call).expect("run"), fast);
        assert!([0, 1].iter().all(|i| ran.borrow().contains(i)), "both are measured");
        ran.borrow_mut().clear();
        assert_eq!(router.run(&[fast], call).expect("run"), fast);
        assert_eq!(*ran.borrow(), [fast], "measured once");
        let choice = router.choice(&[fast]).expect("chosen");
        assert_eq!(choice.index, fast);
        assert!(choice.times[fast] < choice.times[1 - fast]);
        assert!(names.iter().all(|name| choice.reason.contains(name)), "{choice}");
    }
}

#[test]
fn a_device_that_fails_is_not_chosen() {
    let router = router();
    let refuse = || Err(Error::Gpu("out of memory".into()));
    let on_second = |_: &Gru, device: &Device| if device == router.model(1).expect("two").1 { refuse() } else { Ok(3) };
    assert_eq!(router.run(&[1], on_second).expect("the first works"), 3);
    let choice = router.choice(&[1]).expect("chosen");
    assert!(choice.index == 0 && choice.times[1].is_none(), "{choice:?}");
    assert!(choice.reason.contains("failed: GPU: out of memory"), "{choice}");
    assert!(matches!(router.run(&[2], |_, _| refuse()), Err(Error::Gpu(_))));
    assert!(router.choice(&[2]).is_none());
}

#[test]
fn pinned_shapes_are_not_measured() {
    let router = router();
    router.pin(&DIMS, 1).expect("two devices");
    let runs = RefCell::new(0);
    let call = |_: &Gru, device: &Device| {
        *runs.borrow_mut() += 1;
        Ok(device == router.model(1).expect("two").1)
    };
    assert!(router.run(&DIMS, call).expect("run"));
    assert_eq!(*runs.borrow(), 1);
    router.forget();
    router.run(&DIMS, call).expect("run");
    assert!(*runs.borrow() > 3);
}

#[test]
fn diverged_weights_are_refused_until_synced() {
    let router = router();
    let before = output(&router, 0);
    assert_close("a copy", &output(&router, 1), &wide(&before), DEVICES);
    router.run(&DIMS, forward).expect("equal weights");

    let (trained, _) = router.model(1).expect("two devices");
    let (_, weight) = trained.parameters().remove(0);
    weight.assign(&fill(5, weight.len(), 1.0)).expect("as many");
    let refused = router.run(&DIMS, forward).err();
    assert!(matches!(refused, Some(Error::Value { arg: "model", .. })), "{refused:?}");
    assert_eq!(output(&router, 0), before, "nothing was copied");

    router.sync_from(1).expect("synced");
    let after = router.run(&DIMS, forward).expect("equal weights");
    assert_ne!(after, before);
    assert_close("the trained", &after, &wide(&output(&router, 1)), DEVICES);
    assert_close("its copy", &output(&router, 0), &wide(&after), DEVICES);
}

#[test]
fn all_devices_of_this_machine_give_the_same_numbers() {
    let devices = Router::<Gru>::devices();
    assert!(!devices[0].is_gpu());
    assert_eq!(devices.len(), 1 + crate::common::gpu().is_some() as usize);
    let router = Router::new(&devices, |device| gru(device, 1)).expect("a router");
    let want = wide(&output(&router, 0));
    for index in 0..devices.len() {
        router.pin(&DIMS, index).expect("a device");
        assert_close("pinned", &router.run(&DIMS, forward).expect("run"), &want, DEVICES);
    }
    router.forget();
    assert_close("chosen", &router.run(&DIMS, forward).expect("run"), &want, DEVICES);
}

#[test]
fn one_device_is_enough() {
    let router = Router::new(&[Device::cpu()], |device| gru(device, 1)).expect("a router");
    router.run(&DIMS, forward).expect("run");
    assert!(router.choice(&DIMS).expect("chosen").reason.contains("the only device"));
    // There is no other model whose weights could differ.
    let (model, _) = router.model(0).expect("one");
    let (_, weight) = model.parameters().remove(0);
    weight.assign(&fill(5, weight.len(), 1.0)).expect("as many");
    router.run(&DIMS, forward).expect("run");
}

#[test]
fn invalid_models_and_indices_are_refused() {
    let empty = Router::new(&[], |device| gru(device, 1)).err();
    assert!(matches!(empty, Some(Error::Value { arg: "devices", .. })), "{empty:?}");
    let elsewhere = Router::new(&[Device::cpu()], |_| gru(&twin(), 1)).err();
    assert!(matches!(elsewhere, Some(Error::DeviceMix { .. })), "{elsewhere:?}");
    let mut hidden = 3;
    let other = Router::new(&[Device::cpu(), twin()], |device| {
        hidden += 1;
        RecurrentConfig::gru(4, hidden).build(device, &mut Rng::new(1))
    });
    assert!(matches!(other.err(), Some(Error::Value { arg: "build", .. })));
    let router = router();
    assert!(matches!(router.pin(&DIMS, 2), Err(Error::Value { arg: "index", .. })));
    assert!(matches!(router.sync_from(2), Err(Error::Value { arg: "index", .. })));
    assert!(router.model(2).is_none());
}
