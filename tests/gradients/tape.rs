//! The tape: accumulation of gradients, detection of overwritten tensors, and long chains.

use wgru::nn::{Dropout, Mode, Module, RecurrentConfig, RunOptions};
use wgru::{Device, Error, Result, Rng, Tensor};

use crate::common::{fill, twin};

fn leaf(device: &Device, values: &[f32]) -> Tensor {
    Tensor::from_slice(device, values, &[values.len()]).expect("uploaded").requires_grad()
}

fn grad(leaf: &Tensor) -> Vec<f32> {
    leaf.grad().expect("a gradient").read_blocking().expect("read back")
}

#[test]
fn backward_accumulates_over_calls() -> Result<()> {
    let x = leaf(&twin(), &[1.0, 2.0]);
    let loss = x.square()?.sum()?;
    loss.backward()?;
    assert_eq!(grad(&x), [2.0, 4.0]);
    loss.backward()?;
    assert_eq!(grad(&x), [4.0, 8.0]);
    x.scale(10.0)?.sum()?.backward()?;
    assert_eq!(grad(&x), [14.0, 18.0]);
    x.set_grad(None);
    assert!(x.grad().is_none());
    loss.backward()?;
    assert_eq!(grad(&x), [2.0, 4.0]);
    Ok(())
}

#[test]
fn a_tensor_used_twice_gets_both_gradients() -> Result<()> {
    let x = leaf(&twin(), &[3.0]);
    // Used once in one operation, then on two paths of unequal length that meet: x² + 2·(x² + x).
    let square = x.mul(&x)?;
    square.add(&square.add(&x)?.scale(2.0)?)?.backward()?;
    assert_eq!(grad(&x), [3.0 * 2.0 * 3.0 + 2.0]);
    Ok(())
}

#[test]
fn a_detached_tensor_is_a_constant() -> Result<()> {
    let x = leaf(&twin(), &[3.0]);
    x.detach().mul(&x)?.backward()?;
    assert_eq!(grad(&x), [3.0]);
    assert!(!x.detach().mul(&x.detach())?.is_tracked());
    Ok(())
}

#[test]
fn a_leaf_is_its_own_gradient() -> Result<()> {
    let x = leaf(&twin(), &[3.0]);
    x.backward()?;
    assert_eq!(grad(&x), [1.0]);
    Ok(())
}

#[test]
fn a_chain_of_50_000_operations_needs_no_deep_stack() -> Result<()> {
    let device = twin();
    let x = leaf(&device, &[1.0]);
    let one = Tensor::full(&device, 1.0, &[1])?;
    let chain = || (0..50_000).try_fold(x.clone(), |y, _| y.add(&one));
    let y = chain()?;
    assert_eq!(y.item_blocking()?, 50_001.0);
    y.backward()?;
    assert_eq!(grad(&x), [1.0]);
    drop(y);
    // Dropping the chain without a backward pass also works.
    drop(chain()?);
    Ok(())
}

/// Asserts that backward refuses to run `f` of two leaves after one of the tensors was overwritten.
fn refuses(name: &str, f: impl Fn(&Tensor, &Tensor) -> Result<Tensor>, overwritten: &str) {
    let device = twin();
    let make = |stream: u32| {
        let values: Vec<f32> = fill(stream, 4, 0.5).iter().map(|v| v + 1.0).collect();
        Tensor::from_slice(&device, &values, &[2, 2]).expect("uploaded").requires_grad()
    };
    let (a, b) = (make(1), make(2));
    let y = f(&a, &b).expect("forward");
    let victim = match overwritten {
        "a" => &a,
        "b" => &b,
        _ => &y,
    };
    victim.assign(&vec![9.0; victim.len()]).expect("assigned");
    let dy = Tensor::full(&device, 1.0, y.dims()).expect("allocated");
    let outcome = y.backward_with(&dy);
    assert!(matches!(outcome, Err(Error::ModifiedInPlace { .. })), "{name}, {overwritten} overwritten: {outcome:?}");
    assert!(a.grad().is_none(), "{name}: a gradient despite the error");
}

#[test]
fn backward_refuses_operands_that_were_overwritten() {
    refuses("mul", |a, b| a.mul(b), "a");
    refuses("mul", |a, b| a.mul(b), "b");
    refuses("div", |a, b| a.div(b), "a");
    refuses("div", |a, b| a.div(b), "b");
    refuses("matmul", |a, b| a.matmul(b), "a");
    refuses("matmul", |a, b| a.matmul(b), "b");
    refuses("linear", |a, b| a.linear(b, None), "a");
    refuses("linear", |a, b| a.linear(b, None), "b");
    refuses("square", |a, _| a.square(), "a");
    refuses("layer_norm", |a, b| a.layer_norm(b, b, 1e-5), "a");
    refuses("layer_norm", |a, b| a.layer_norm(b, b, 1e-5), "b");
    refuses("relu", |a, _| a.relu(), "a");
    refuses("abs", |a, _| a.abs(), "a");
}

#[test]
fn backward_refuses_results_that_were_overwritten() {
    refuses("sigmoid", |a, _| a.sigmoid(), "y");
    refuses("tanh", |a, _| a.tanh(), "y");
    refuses("sqrt", |a, _| a.sqrt(), "y");
    refuses("softmax", |a, _| a.softmax(), "y");
    refuses("log_softmax", |a, _| a.log_softmax(), "y");
}

#[test]
fn backward_through_a_gru_refuses_an_overwritten_input_or_weight() -> Result<()> {
    let device = twin();
    for victim in ["x", "weight_ih_l0", "weight_hh_l0"] {
        let gru = RecurrentConfig::gru(2, 3).build(&device, &mut Rng::new(1))?;
        let x = Tensor::full(&device, 0.5, &[4, 1, 2])?.requires_grad();
        let y = gru.run(&x, RunOptions::default(), &mut Mode::Train(&mut Rng::new(2)))?.output.sum()?;
        let parameters = gru.parameters();
        let tensor = parameters.iter().find(|(name, _)| name == victim).map_or(&x, |(_, tensor)| tensor);
        tensor.assign(&vec![0.25; tensor.len()])?;
        assert!(matches!(y.backward(), Err(Error::ModifiedInPlace { op: "gru" })), "{victim}");
    }
    Ok(())
}

#[test]
fn a_gru_uses_weights_that_were_assigned_since_the_last_run() -> Result<()> {
    let device = twin();
    let gru = RecurrentConfig::gru(2, 3).build(&device, &mut Rng::new(1))?;
    let x = Tensor::full(&device, 0.5, &[4, 1, 2])?;
    let run = || gru.forward(&x)?.read_blocking();
    assert!(run()?.iter().any(|&v| v != 0.0));
    for (_, parameter) in gru.parameters() {
        parameter.assign(&vec![0.0; parameter.len()])?;
    }
    assert_eq!(run()?, vec![0.0; 12]);
    Ok(())
}

#[test]
fn backward_refuses_tensors_without_a_tape() -> Result<()> {
    let device = twin();
    let constant = Tensor::full(&device, 1.0, &[1])?;
    assert!(matches!(constant.backward(), Err(Error::Value { .. })));
    let x = leaf(&device, &[1.0, 2.0]);
    assert!(matches!(x.square()?.backward(), Err(Error::Shape { .. })), "two elements");
    let wrong = Tensor::full(&device, 1.0, &[3])?;
    assert!(
        matches!(x.square()?.backward_with(&wrong), Err(Error::Shape { .. })),
        "a gradient of three elements for a tensor of two"
    );
    let gru = RecurrentConfig::gru(2, 3).build(&device, &mut Rng::new(1))?;
    let y = gru.forward(&Tensor::full(&device, 1.0, &[1, 1, 2])?)?.sum()?;
    assert!(matches!(y.backward(), Err(Error::Value { .. })), "inference records no tape");
    Ok(())
}

#[test]
fn dropout_gradient_is_the_mask_of_the_forward_pass() -> Result<()> {
    let device = twin();
    let layer = Dropout::new(0.3)?;
    let x = leaf(&device, &[1.0; 1000]);
    let y = layer.forward_with(&x, &mut Mode::Train(&mut Rng::new(7)))?;
    y.backward_with(&Tensor::full(&device, 1.0, &[1000])?)?;
    let mask = y.read_blocking()?;
    // For an input of ones, the result is the mask itself.
    assert_eq!(grad(&x), mask);
    let dropped = mask.iter().filter(|&&m| m == 0.0).count();
    assert!((200..400).contains(&dropped), "{dropped} of 1000 dropped at p = 0.3");
    assert!(mask.iter().all(|&m| m == 0.0 || m == 1.0 / (1.0 - 0.3)));

    let again = layer.forward_with(&x, &mut Mode::Train(&mut Rng::new(7)))?.read_blocking()?;
    assert_eq!(again, mask, "the same seed draws the same mask");
    let other = layer.forward_with(&x, &mut Mode::Train(&mut Rng::new(8)))?.read_blocking()?;
    assert_ne!(other, mask, "a different seed draws a different mask");
    assert_eq!(layer.forward(&x)?.read_blocking()?, [1.0; 1000]);
    Ok(())
}
