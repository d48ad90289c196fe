//! Bindings that a device refuses, and dispatches that wrap along y.

use wgru::kernels::{Fill, Gather, Unary, UnaryOp};
use wgru::{Device, Error, Tensor};

use crate::common::fill;
use crate::{buffer, on_every_backend, run};

on_every_backend![
    run_refuses_a_buffer_that_is_too_short,
    run_refuses_a_tensor_that_is_read_and_written,
    run_refuses_a_tensor_of_another_device,
    run_reads_one_tensor_by_two_names,
    unary_reaches_past_the_fold_of_the_dispatch,
];

// Needs threads.
#[cfg(not(target_arch = "wasm32"))]
on_every_backend![run_refuses_a_tensor_that_is_written_twice];

fn tensor(device: &Device, len: usize) -> Tensor {
    Tensor::full(device, 1.0, &[len]).expect("allocated")
}

const SCALE: Unary = Unary { len: 8, op: UnaryOp::Scale as u32, alpha: 2.0 };

fn run_refuses_a_buffer_that_is_too_short(device: &Device) {
    let [long, short] = [8, 7].map(|len| tensor(device, len));
    assert!(matches!(device.run(&SCALE, [&short], [&long]), Err(Error::Shape { op: "unary", arg: "x", .. })));
    assert!(matches!(device.run(&SCALE, [&long], [&short]), Err(Error::Shape { op: "unary", arg: "y", .. })));
}

fn run_refuses_a_tensor_that_is_read_and_written(device: &Device) {
    let x = tensor(device, 8);
    let view = x.reshape(&[2, 4]).expect("eight elements");
    assert!(matches!(device.run(&SCALE, [&x], [&view]), Err(Error::Value { arg: "y", .. })));
}

#[cfg(not(target_arch = "wasm32"))]
fn run_refuses_a_tensor_that_is_written_twice(device: &Device) {
    use std::{sync::mpsc, time::Duration};

    use wgru::kernels::Sgd;

    let (device, (done, outcome)) = (device.clone(), mpsc::channel());
    // On a separate thread, so that a deadlock fails the test instead of hanging it.
    std::thread::spawn(move || {
        let (grad, w, status) = (tensor(&device, 8), tensor(&device, 8), tensor(&device, 1));
        let sgd = Sgd { len: 8, lr: 0.1, first: 1, ..Sgd::default() };
        done.send(device.run(&sgd, [&grad], [&w, &w, &status])).expect("the test waits");
    });
    let outcome = outcome.recv_timeout(Duration::from_secs(20)).expect("an answer");
    assert!(matches!(outcome, Err(Error::Value { op: "sgd", arg: "v", .. })), "{outcome:?}");
}

fn run_refuses_a_tensor_of_another_device(device: &Device) {
    let (here, there) = (tensor(device, 8), tensor(&Device::cpu(), 8));
    assert!(matches!(device.run(&SCALE, [&there], [&here]), Err(Error::DeviceMix { arg: "x", .. })));
    assert!(matches!(device.run(&SCALE, [&here], [&there]), Err(Error::DeviceMix { arg: "y", .. })));
}

fn run_reads_one_tensor_by_two_names(device: &Device) {
    // The word 0 is also the index 0, so a table of zeros may be its own index.
    let zeros = buffer(device, &[0.0; 4]);
    let [out] = run(device, &Gather { rows: 4, width: 1, table_rows: 4 }, [&zeros, &zeros]);
    assert_eq!(out, [0.0; 4]);
}

/// 32,768 workgroups of 64 fit along x; the next element is the first of the second row of workgroups.
const FOLD: usize = 32_768 * 64;

fn unary_reaches_past_the_fold_of_the_dispatch(device: &Device) {
    let len = FOLD + 67;
    let x = fill(1, len, 1.0);
    let [y] = run(device, &Unary { len: len as u32, ..SCALE }, [&buffer(device, &x)]);
    assert!(y.iter().zip(&x).all(|(y, x)| *y == 2.0 * x));
    let [out] = run(device, &Fill { len: len as u32, value: 3.0 }, []);
    assert!(out.iter().all(|&v| v == 3.0));
}
