//! The GRU's backward pass: the chain, the whole sequence, and the reference itself.

use wgru::Device;
use wgru::kernels::Fused;

use crate::common::relative_error;
use crate::gru_case::{assert_known, carry_of, cases};
use crate::reference::gru::times;
use crate::reference::{differences, dot, wide};
use crate::{bits, buffer, on_every_backend, poison, read};

/// Sums of up to 512 products over up to five steps.
const GRU_BACKWARD: f64 = 1.2e-6;
/// One product with `U_n` alone, with few values, the largest of which is small.
const RESET_BACKWARD: f64 = 2e-6;
/// Error of a central difference in f64.
const DIFFERENCE: f64 = 1e-8;

on_every_backend![
    gru_chain_backward_matches_f64,
    gru_sequence_backward_matches_f64,
    gru_chain_and_sequence_agree_backward,
    gru_step_backward_writes_its_step_only,
    gru_reset_backward_writes_the_reset_gate_only,
    gru_backward_comparison_rejects_another_gradient,
];

fn matches_f64(device: &Device, whole: bool) {
    for case in cases() {
        let data = case.data();
        let want = case.want(&data);
        let reads = case.backward_reads(device, &data, &want);
        let [d_gates, dh0] = case.backward(device, &data, reads.each_ref(), whole);
        assert_known(&format!("d_gates of {case:?}"), &d_gates, &want.d_gates, GRU_BACKWARD);
        assert_known(&format!("dh0 of {case:?}"), &dh0, &want.dh0, GRU_BACKWARD);
        for (d, row) in case.sequences() {
            let padded = (0..case.size()[0]).filter(|&t| !case.is_valid(t, row));
            let zero =
                |t: usize| d_gates[case.at_gates(d, t, row, 4)..][..4 * case.size()[2]].iter().all(|&v| v == 0.0);
            assert!(padded.into_iter().all(zero), "{case:?}: gradient of a padded step");
        }
    }
}

fn gru_chain_backward_matches_f64(device: &Device) {
    matches_f64(device, false);
}

fn gru_sequence_backward_matches_f64(device: &Device) {
    matches_f64(device, true);
}

fn gru_chain_and_sequence_agree_backward(device: &Device) {
    for case in cases() {
        let data = case.data();
        let reads = case.backward_reads(device, &data, &case.want(&data));
        let [chain, whole] = [false, true].map(|whole| case.backward(device, &data, reads.each_ref(), whole));
        for (chain, whole) in chain.iter().zip(&whole) {
            assert!(relative_error(chain, &wide(whole)) <= GRU_BACKWARD, "{case:?}");
        }
    }
}

fn gru_step_backward_writes_its_step_only(device: &Device) {
    for case in cases().into_iter().filter(|case| case.p.steps > 1) {
        let [steps, batch, h, directions] = case.size();
        let data = case.data();
        let reads = case.backward_reads(device, &data, &case.want(&data));
        let (d_gates, carry) =
            (poison(device, directions * steps * batch * 4 * h), buffer(device, &carry_of(&data.dh_n)));
        case.step_backward(device, case.p, reads.each_ref(), [&d_gates, &carry]);
        let mut want_nan = vec![true; directions * steps * batch * 4 * h];
        for (d, row) in case.sequences() {
            let last = if case.is_reverse(d) { 0 } else { steps - 1 };
            want_nan[case.at_gates(d, last, row, 4)..][..4 * h].fill(false);
        }
        assert!(read(&d_gates).iter().zip(want_nan).all(|(v, nan)| v.is_nan() == nan), "{case:?}");
        assert!(read(&carry).iter().all(|v| v.is_finite()), "{case:?}");
    }
}

fn gru_reset_backward_writes_the_reset_gate_only(device: &Device) {
    for case in cases().into_iter().filter(|case| case.p.is_reset_before()) {
        let [steps, batch, h, directions] = case.size();
        let data = case.data();
        let want = case.want(&data);
        let reads = case.backward_reads(device, &data, &want);
        let (d_gates, carry) =
            (poison(device, directions * steps * batch * 4 * h), buffer(device, &carry_of(&data.dh_n)));
        case.step_backward(device, case.p, reads.each_ref(), [&d_gates, &carry]);
        let before = read(&d_gates);
        case.step_backward(device, Fused { half: 1, ..case.p }, reads.each_ref(), [&d_gates, &carry]);
        let after = read(&d_gates);

        let mut want_reset = vec![f64::NAN; after.len()];
        let mut others = (before.clone(), after.clone());
        for (d, row) in case.sequences() {
            let at = case.at_gates(d, if case.is_reverse(d) { 0 } else { steps - 1 }, row, 4);
            want_reset[at..at + h].copy_from_slice(&want.d_gates[at..at + h]);
            others.0[at..at + h].fill(0.0);
            others.1[at..at + h].fill(0.0);
        }
        assert_known(&format!("δr of {case:?}"), &after, &want_reset, RESET_BACKWARD);
        assert_eq!(bits(&others.0), bits(&others.1), "{case:?}: only δr changes");
    }
}

/// Negative control: a gradient with an error of one thousandth in one element is rejected.
fn gru_backward_comparison_rejects_another_gradient(device: &Device) {
    let case = &cases()[6];
    let data = case.data();
    let mut want = case.want(&data);
    let reads = case.backward_reads(device, &data, &want);
    let [d_gates, _] = case.backward(device, &data, reads.each_ref(), true);
    let top = want.d_gates.iter().fold(0.0, |top: f64, v| top.max(v.abs()));
    want.d_gates[5] += 1e-3 * top;
    assert!(relative_error(&d_gates, &want.d_gates) > 100.0 * GRU_BACKWARD);
}

/// Checks the reference's backward pass against central differences of its forward pass, for the loss Σ y·dy + Σ
/// h_n·dh_n.
#[test]
fn gru_reference_backward_is_the_central_difference() {
    for case in cases().into_iter().filter(|case| case.p.hidden <= 17) {
        let [_, batch, h, _] = case.size();
        let data = case.data();
        let want = case.want(&data);
        let (x, h0, dy, dh_n) = (wide(&data.x), wide(&data.h0), wide(&data.dy), wide(&data.dh_n));
        for (d, row) in case.sequences() {
            let (cell, carry) = (case.recurrent(&data, d), (d * batch + row) * h);
            let order = times(case.lengths[row] as usize, case.is_reverse(d));
            let loss = |inputs: &[Vec<f64>]| {
                let (h0, inputs) = inputs.split_last().expect("h0 is the last");
                let inputs: Vec<&[f64]> = inputs.iter().map(|a| &a[..]).collect();
                let done = cell.run(&inputs, h0);
                let outputs = order.iter().zip(&done).map(|(&t, s)| dot(&s.h, &dy[case.at_y(d, t, row)..][..h]));
                outputs.sum::<f64>() + dot(&done[done.len() - 1].h, &dh_n[carry..][..h])
            };
            let mut inputs: Vec<Vec<f64>> =
                order.iter().map(|&t| x[case.at_gates(d, t, row, 3)..][..3 * h].to_vec()).collect();
            inputs.push(h0[carry..][..h].to_vec());
            let gradients = differences(&inputs, loss);
            let (dh0, gates) = gradients.split_last().expect("h0 is the last");
            let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() <= DIFFERENCE);
            assert!(close(dh0, &want.dh0[carry..][..h]), "{case:?}: dh0");
            for (&t, g) in order.iter().zip(gates) {
                assert!(close(g, &want.d_gates[case.at_gates(d, t, row, 4)..][..3 * h]), "{case:?}: step {t}");
            }
        }
    }
}
