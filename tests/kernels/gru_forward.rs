//! The GRU's forward pass: packing, the chain, the whole sequence.

use wgru::Device;
use wgru::kernels::{Fused, Pack};

use crate::common::{fill, relative_error};
use crate::gru_case::{Case, assert_known, cases};
use crate::reference::gru::pack;
use crate::reference::wide;
use crate::{bits, buffer, on_every_backend, poison, read, run, update};

/// Sums of up to 256 products over up to five steps; the gates' slopes (at most 1) do not amplify their error.
const GRU: f64 = 2e-6;

on_every_backend![
    gru_pack_places_every_weight,
    gru_pack_writes_its_direction_only,
    gru_chain_matches_f64_equations,
    gru_sequence_matches_f64_equations,
    gru_chain_and_sequence_agree,
    gru_step_writes_its_step_only,
    gru_saves_no_gates_unless_requested,
    pack_places_every_weight,
    gru_comparison_rejects_the_other_reset_form,
];

fn packing(hidden: usize, direction: u32, transposed: u32) -> Pack {
    Pack { hidden: hidden as u32, gates: 3, depth: hidden as u32, direction, transposed }
}

/// Any number of gates, and a depth that differs from the width.
fn pack_places_every_weight(device: &Device) {
    for (h, gates, depth) in [(1, 1, 1), (17, 4, 17), (3, 1, 12), (20, 1, 80), (5, 4, 7)] {
        let (u, bias) = (fill(1, gates * h * depth, 1.0), fill(2, gates * h, 1.0));
        for transposed in [0, 1] {
            let rows = depth + 1 - transposed;
            let kernel = Pack {
                hidden: h as u32,
                gates: gates as u32,
                depth: depth as u32,
                direction: 0,
                transposed: transposed as u32,
            };
            let [packed] = run(device, &kernel, [&buffer(device, &u), &buffer(device, &bias)]);
            assert_eq!(packed.len(), h.div_ceil(16) * rows * gates * 16);
            for (i, &v) in packed.iter().enumerate() {
                let (unit, k, gate) = (i / (rows * gates * 16) * 16 + i % 16, i / (gates * 16) % rows, i / 16 % gates);
                let want = match () {
                    () if unit >= h => 0.0,
                    () if k == depth => bias[gate * h + unit],
                    () if transposed == 1 => u[gate * h * depth + k * h + unit],
                    () => u[gate * h * depth + unit * depth + k],
                };
                assert_eq!(v, want, "{kernel:?}: {i}");
            }
        }
    }
}

fn gru_pack_places_every_weight(device: &Device) {
    for hidden in [1, 3, 16, 17, 67] {
        let (u, bias) = (fill(1, 3 * hidden * hidden, 1.0), fill(2, 3 * hidden, 1.0));
        for transposed in [0, 1] {
            let kernel = packing(hidden, 0, transposed);
            let bias_or_none = if transposed == 1 { &[][..] } else { &bias };
            let [packed] = run(device, &kernel, [&buffer(device, &u), &buffer(device, bias_or_none)]);
            assert_eq!(packed, pack(hidden, &u, &bias, transposed == 1), "{kernel:?}");
        }
    }
}

fn gru_pack_writes_its_direction_only(device: &Device) {
    let hidden = 17;
    let (u, bias) = (fill(1, 3 * hidden * hidden, 1.0), fill(2, 3 * hidden, 1.0));
    for transposed in [0, 1] {
        let want = pack(hidden, &u, &bias, transposed == 1);
        let start = vec![f32::NAN; 3 * want.len()];
        let kernel = packing(hidden, 1, transposed);
        let [packed] = update(device, &kernel, [&buffer(device, &u), &buffer(device, &bias)], [&start]);
        let parts: Vec<&[f32]> = packed.chunks(want.len()).collect();
        assert_eq!(parts[1], want);
        assert!([parts[0], parts[2]].iter().all(|part| part.iter().all(|v| v.is_nan())));
    }
}

fn matches_f64(device: &Device, whole: bool) {
    for case in cases() {
        let data = case.data();
        let want = case.want(&data);
        let [state, y, saved] = case.forward(device, &data, whole);
        assert_known(&format!("state of {case:?}"), &state, &want.state, GRU);
        assert_known(&format!("y of {case:?}"), &y, &want.y, GRU);
        assert_known(&format!("saved of {case:?}"), &saved, &want.saved, GRU);
    }
}

fn gru_chain_matches_f64_equations(device: &Device) {
    matches_f64(device, false);
}

fn gru_sequence_matches_f64_equations(device: &Device) {
    matches_f64(device, true);
}

fn gru_chain_and_sequence_agree(device: &Device) {
    for case in cases() {
        let data = case.data();
        let [chain, whole] = [false, true].map(|whole| case.forward(device, &data, whole));
        for (chain, whole) in chain.iter().zip(&whole).take(2) {
            assert!(relative_error(chain, &wide(whole)) <= GRU, "{case:?}");
        }
    }
}

fn gru_step_writes_its_step_only(device: &Device) {
    for case in cases().into_iter().filter(|case| case.p.steps > 1) {
        let [steps, batch, h, directions] = case.size();
        let (data, rows) = (case.data(), directions * steps * batch);
        let (reads, start) = (case.reads(device, &data), case.start(&data));
        let (state, y, saved) = (buffer(device, &start), poison(device, rows * h), poison(device, rows * 4 * h));
        case.step::<f32>(device, 0, reads.each_ref(), [&state, &y, &saved]);
        let [state, y, saved] = [&state, &y, &saved].map(read);

        let mut want_nan = [vec![true; state.len()], vec![true; y.len()], vec![true; saved.len()]];
        for (d, row) in case.sequences() {
            let (t, slots) = if case.is_reverse(d) { (steps - 1, [steps, steps - 1]) } else { (0, [0, 1]) };
            slots.into_iter().for_each(|slot| want_nan[0][case.at_state(d, slot, row)..][..h].fill(false));
            want_nan[1][case.at_y(d, t, row)..][..h].fill(false);
            want_nan[2][case.at_gates(d, t, row, 4)..][..4 * h].fill(false);
        }
        for (got, want_nan) in [&state, &y, &saved].into_iter().zip(&want_nan) {
            assert!(got.iter().zip(want_nan).all(|(v, &nan)| v.is_nan() == nan), "{case:?}");
        }
        let kept: Vec<usize> = (0..start.len()).filter(|&i| !start[i].is_nan()).collect();
        assert!(kept.iter().all(|&i| state[i] == start[i]), "the first state is unchanged");
    }
}

fn gru_saves_no_gates_unless_requested(device: &Device) {
    for case in cases() {
        let data = case.data();
        let without = Case { p: Fused { save: 0, ..case.p }, ..case.clone() };
        for whole in [false, true] {
            let [want_state, want_y, _] = case.forward(device, &data, whole);
            // If nothing is saved, the buffer of `saved` consists of only its guard.
            let [state, y, _] = without.forward(device, &data, whole);
            assert_eq!((bits(&state), bits(&y)), (bits(&want_state), bits(&want_y)), "{case:?}");
        }
    }
}

/// Negative control: results of the other reset form are rejected.
fn gru_comparison_rejects_the_other_reset_form(device: &Device) {
    for case in cases().into_iter().filter(|case| case.p.hidden > 1) {
        let data = case.data();
        let other = Case { p: Fused { cell: 1 - case.p.cell, ..case.p }, ..case.clone() };
        let [_, y, _] = case.forward(device, &data, false);
        assert!(relative_error(&y, &other.want(&data).y) > 100.0 * GRU, "{case:?}");
    }
}
