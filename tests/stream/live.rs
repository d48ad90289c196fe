//! Streams that another thread controls.

use super::{build, stream};
use crate::common::fill;
use wgru::{Cell, Error, LiveStream, Stream, StreamOptions};

const CELLS: [Cell; 2] = [Cell::Gru, Cell::Lstm];

/// Streams of different models with two inputs and three outputs.
fn models(cell: Cell, batch: usize) -> [Stream; 2] {
    [(8, 2), (70, 1)].map(|(hidden, layers)| {
        stream(&build(cell, 2, hidden, layers), 3, StreamOptions { batch, ..Default::default() })
    })
}

/// Runs `x` through the stream: in blocks of the length, or in steps if it is 0.
fn run(live: &mut LiveStream, x: &[f32], length: usize) -> Vec<f32> {
    let frame = live.batch() * live.input();
    if length == 0 {
        return x.chunks(frame).flat_map(|x| live.step(x).expect("step").to_vec()).collect();
    }
    let mut out = vec![f32::NAN; x.len() / 2 * 3];
    for (x, out) in x.chunks(length * frame).zip(out.chunks_mut(length * frame / 2 * 3)) {
        live.process(x, out).expect("process");
    }
    out
}

#[test]
fn a_cross_fade_mixes_both_models() {
    for cell in CELLS {
        for batch in [1, 2] {
            for (fade, length) in [(0, 0), (1, 0), (50, 0), (50, 7), (50, 64), (40, 200), (300, 33)] {
                let ([mut first, mut second], x) = (models(cell, batch), fill(1, 400 * batch * 2, 1.0));
                let (mut live, mut control) = first.clone().live();
                let start = 33 * 2 * batch * 2;
                let mut got = run(&mut live, &x[..start], length);
                control.exchange(second.clone(), fade).expect("exchange");
                got.extend(run(&mut live, &x[start..], length));
                let mut want = Vec::new();
                for (t, x) in x.chunks(batch * 2).enumerate() {
                    let from = first.step(x).expect("step").to_vec();
                    if t < 66 {
                        want.extend(from);
                        continue;
                    }
                    // The new model begins with its own state.
                    let to = second.step(x).expect("step");
                    let share = if fade == 0 { 1.0 } else { ((t - 65) as f64 / fade as f64).min(1.0) };
                    want.extend(
                        from.iter()
                            .zip(to)
                            .map(|(from, to)| ((1.0 - share) * f64::from(*from) + share * f64::from(*to)) as f32),
                    );
                }
                let worst = want.iter().zip(&got).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-6 && got.len() == want.len(), "{cell}, {batch}, {fade}, {length}: {worst:e}");
                let after = (66 + fade) * batch * 3;
                assert_eq!(want[after..], got[after..], "after the fade only the new model counts");
            }
        }
    }
}

#[test]
fn a_model_that_became_nan_is_replaced_at_once() {
    let [first, second] = models(Cell::Gru, 1);
    let (mut live, mut control) = first.live();
    assert!(run(&mut live, &[f32::NAN; 2], 0).iter().all(|v| v.is_nan()));
    control.exchange(second, 100).expect("exchange");
    assert!(run(&mut live, &[0.5; 20], 0).iter().all(|v| v.is_finite()));
}

#[test]
fn the_old_model_comes_back() {
    let [first, second] = models(Cell::Gru, 1);
    let (mut live, mut control) = first.live();
    for _ in 0..100 {
        control.exchange(second.clone(), 10).expect("exchange");
        run(&mut live, &[0.5; 2 * 11], 0);
    }
    // One message more than fit at once.
    for n in 0..17 {
        let sent = control.reset();
        assert_eq!(sent.is_ok(), n < 16, "{sent:?}");
        assert!(n < 16 || matches!(sent, Err(Error::Limit { needed: 17, allowed: 16, .. })), "{sent:?}");
    }
    run(&mut live, &[0.5; 2], 0);
    control.reset().expect("the others were carried out");
    drop(live);
    assert!(matches!(control.reset(), Err(Error::Stopped(_))));
}

#[test]
fn states_are_read_and_set_from_outside() {
    for cell in CELLS {
        let [mut plain, second] = models(cell, 2);
        let (mut live, mut control) = plain.clone().live();
        let x = fill(4, 2 * 2 * 10, 1.0);
        let first = run(&mut live, &x, 0);
        assert!(control.take_snapshot().is_none());
        control.request_snapshot().expect("request");
        let more = run(&mut live, &x, 0);
        x.chunks(4).for_each(|x| _ = plain.step(x).expect("step"));
        let snapshot = control.take_snapshot().expect("a snapshot");
        assert_eq!(snapshot, plain.state());
        assert!(control.take_snapshot().is_none(), "each arrives once");
        control.reset().expect("reset");
        assert_eq!(run(&mut live, &x, 0), first);
        control.set_state(snapshot).expect("set");
        assert_eq!(run(&mut live, &x, 0), more);
        assert!(matches!(control.set_state(vec![0.0; 3]), Err(Error::Length { got: 3, .. })));
        // The length is that of the newest model, also while the one before still runs.
        let states = second.state().len();
        control.exchange(second, 0).expect("exchange");
        control.set_state(vec![0.25; states]).expect("set");
        control.request_snapshot().expect("request");
        live.process(&[], &mut []).expect("no frame");
        assert_eq!(control.take_snapshot().expect("a snapshot"), vec![0.25; states]);
    }
}

#[test]
fn models_of_another_shape_are_refused() {
    let [first, _] = models(Cell::Gru, 1);
    let (mut live, mut control) = first.live();
    let other = |input, outputs, batch| {
        stream(&build(Cell::Gru, input, 8, 1), outputs, StreamOptions { batch, ..Default::default() })
    };
    for (input, outputs, batch) in [(3, 3, 1), (2, 0, 1), (2, 3, 2)] {
        let error = control.exchange(other(input, outputs, batch), 10).expect_err("another shape");
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
    let error = live.process(&[0.0; 3], &mut [0.0; 3]).expect_err("half a frame");
    assert!(matches!(error, Error::Length { expected: 4, got: 3, .. }), "{error}");
}

/// One thread runs blocks of every length, with odd numbers in them, while another sends everything it can.
#[cfg(not(target_arch = "wasm32"))]
#[test]
fn a_controlled_stream_allocates_nothing() {
    use super::ALLOCATIONS;
    use std::sync::atomic::{AtomicBool, Ordering};
    use wgru::NonFinite;
    let options = StreamOptions { non_finite: NonFinite::Reset, ..Default::default() };
    let models = [8, 16].map(|hidden| stream(&build(Cell::Lstm, 1, hidden, 1), 1, options));
    let (mut live, mut control) = models[0].clone().live();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let audio = scope.spawn(|| {
            let (mut x, mut out) = (fill(1, 4096, 1.0), vec![0.0; 4096]);
            (x[7], x[200], x[1000]) = (f32::NAN, f32::INFINITY, 1e-42);
            let before = ALLOCATIONS.get();
            let mut finite = true;
            for block in 0..20_000 {
                let frames = [1, 16, 64, 7, 128][block % 5];
                let at = block * 64 % 3968;
                live.process(&x[at..][..frames], &mut out[..frames]).expect("process");
                finite &= out[..frames].iter().all(|v| v.is_finite());
            }
            done.store(true, Ordering::Relaxed);
            (ALLOCATIONS.get() - before, finite)
        });
        let (mut exchanges, mut snapshots) = (0, 0);
        let mut next = 0;
        while !done.load(Ordering::Relaxed) {
            // A full queue is not an error here.
            exchanges += u32::from(control.exchange(models[next % 2].clone(), next % 100).is_ok());
            _ = control.reset();
            _ = control.request_snapshot();
            snapshots += u32::from(control.take_snapshot().is_some());
            next += 1;
            std::thread::yield_now();
        }
        let (allocations, finite) = audio.join().expect("audio");
        assert_eq!(allocations, 0);
        assert!(finite);
        assert!(exchanges > 10 && snapshots > 10, "{exchanges} exchanges, {snapshots} snapshots");
    });
}
