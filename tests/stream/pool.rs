//! Members of a pool, one by one: reset, saved and restored states, and errors.

use wgru::nn::Linear;
use wgru::{Cell, Device, Error, Rng, Stream, StreamId, StreamOptions, StreamPool};

use crate::common::fill;
use crate::{ALLOCATIONS, build};

fn pool(cell: Cell, rate_ratio: f64, with_head: bool) -> StreamPool {
    let options = StreamOptions { batch: 4, rate_ratio, ..Default::default() };
    let stream = Stream::new(&build(cell, 3, 20, 2), options).expect("stream");
    let head = Linear::new(&Device::cpu(), 20, 4, true, &mut Rng::new(1)).expect("head");
    StreamPool::new(if with_head { stream.then(&head).expect("then") } else { stream })
}

/// Steps all members with frames of their own, and returns the outputs of one of them.
fn run(pool: &mut StreamPool, ids: &[StreamId], of: StreamId, times: std::ops::Range<u32>) -> Vec<u32> {
    let mut out = Vec::new();
    for t in times {
        for (i, id) in ids.iter().enumerate() {
            pool.frame_mut(*id).expect("frame").copy_from_slice(&fill(t * 8 + i as u32, 3, 1.0));
        }
        pool.step();
        out.extend(pool.output(of).expect("output").iter().map(|v| v.to_bits()));
    }
    out
}

fn each(mut check: impl FnMut(&dyn Fn() -> (StreamPool, [StreamId; 3]))) {
    for cell in Cell::ALL {
        for rate_ratio in [1.0, 2.0, 2.18, 1.5] {
            for with_head in [false, true] {
                check(&|| {
                    let mut pool = pool(cell, rate_ratio, with_head);
                    let ids = [(); 3].map(|()| pool.join().expect("join"));
                    (pool, ids)
                });
            }
        }
    }
}

#[test]
fn a_member_is_reset_alone() {
    each(|make| {
        let (mut whole, all) = make();
        let want = run(&mut whole, &all, all[0], 0..9);
        let (mut pool, ids) = make();
        let first = run(&mut pool, &ids, ids[0], 0..5);
        pool.reset(ids[1]).expect("reset");
        assert_eq!([first, run(&mut pool, &ids, ids[0], 5..9)].concat(), want, "another member goes on");
        // Reset, the member starts over.
        let (mut fresh, same) = make();
        let want = run(&mut fresh, &same, same[1], 20..24);
        pool.reset(ids[1]).expect("reset");
        assert_eq!(run(&mut pool, &ids, ids[1], 20..24), want);
    });
}

#[test]
fn a_member_continues_from_a_saved_state() {
    each(|make| {
        let (mut pool, ids) = make();
        run(&mut pool, &ids, ids[2], 0..5);
        let mut state = vec![f32::NAN; pool.state_len()];
        pool.save_state(ids[2], &mut state).expect("saved");
        assert!(state.iter().all(|v| v.is_finite()) && state.iter().any(|v| *v != 0.0));
        let want = run(&mut pool, &ids, ids[2], 5..9);
        pool.load_state(ids[2], &state).expect("loaded");
        let mut again = vec![f32::NAN; state.len()];
        pool.save_state(ids[2], &mut again).expect("saved");
        assert_eq!(again, state);
        assert_eq!(run(&mut pool, &ids, ids[2], 5..9), want);

        // Other members go on as if nothing had happened.
        let (mut other, same) = make();
        [0..9, 5..9].into_iter().for_each(|times| drop(run(&mut other, &same, same[0], times)));
        assert_eq!(run(&mut pool, &ids, ids[0], 9..12), run(&mut other, &same, same[0], 9..12));
    });
}

/// The layout is that of a stream of one sequence.
#[test]
fn members_and_streams_exchange_states() {
    for cell in Cell::ALL {
        for rate_ratio in [1.0, 2.18] {
            let mut pool = pool(cell, rate_ratio, false);
            let ids = [(); 3].map(|()| pool.join().expect("join"));
            run(&mut pool, &ids, ids[1], 0..6);
            let options = StreamOptions { rate_ratio, ..Default::default() };
            let mut alone = Stream::new(&build(cell, 3, 20, 2), options).expect("stream");
            assert_eq!(pool.state_len(), alone.state().len());
            let mut state = vec![0.0; pool.state_len()];
            pool.save_state(ids[1], &mut state).expect("saved");
            alone.set_state(&state).expect("set");
            let frame = fill(3, 3, 1.0);
            pool.frame_mut(ids[1]).expect("frame").copy_from_slice(&frame);
            pool.step();
            let (got, want) = (pool.output(ids[1]).expect("output"), alone.step(&frame).expect("step"));
            // Except for the order of sums.
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{cell}: {got:?} {want:?}");
            pool.load_state(ids[0], alone.state()).expect("loaded");
            let mut moved = vec![0.0; state.len()];
            pool.save_state(ids[0], &mut moved).expect("saved");
            assert_eq!(moved, alone.state());
        }
    }
}

#[test]
fn members_and_their_errors_allocate_nothing() {
    let mut pool = pool(Cell::Lstm, 2.18, true);
    let [gone, id] = [(); 2].map(|()| pool.join().expect("join"));
    pool.leave(gone).expect("left");
    let mut state = vec![0.0; pool.state_len()];
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        pool.save_state(id, &mut state).expect("saved");
        pool.load_state(id, &state).expect("loaded");
        pool.reset(id).expect("reset");
        let errors = [
            pool.leave(gone).err(),
            pool.frame_mut(gone).err(),
            pool.output(gone).err(),
            pool.reset(gone).err(),
            pool.save_state(gone, &mut state).err(),
            pool.load_state(gone, &state).err(),
        ];
        assert!(errors.iter().all(|error| matches!(error, Some(Error::Member { .. }))));
        let is_short =
            |e: Result<(), Error>| matches!(e, Err(Error::Length { expected, got, .. }) if got + 1 == expected);
        assert!(is_short(pool.save_state(id, &mut state[1..])) && is_short(pool.load_state(id, &state[1..])));
        while pool.len() < 4 {
            pool.join().expect("join");
        }
        assert!(matches!(pool.join(), Err(Error::Limit { .. })));
    }
    assert_eq!(ALLOCATIONS.get(), before);
    let text = pool.reset(gone).expect_err("gone").to_string();
    assert!(text.contains("StreamPool::reset") && text.contains("member of the pool"), "{text}");
    assert_eq!(pool.reset(gone).expect_err("gone").code(), "value");
}

/// Ids of one pool are not in another, even if both gave out as many.
#[test]
fn members_belong_to_one_pool() {
    let [mut one, mut other] = [(); 2].map(|()| pool(Cell::Gru, 1.0, false));
    let (a, b) = (one.join().expect("room"), other.join().expect("room"));
    assert_ne!(a, b);
    let mut state = vec![0.0; one.state_len()];
    for result in [other.reset(a), other.save_state(a, &mut state), other.load_state(a, &state), other.leave(a)] {
        assert!(matches!(result, Err(Error::Member { .. })), "{result:?}");
    }
    assert!(other.output(b).is_ok() && other.frame_mut(a).is_err());
}

/// A new member does not see what another one left behind.
#[test]
fn new_members_have_no_output() {
    let mut pool = pool(Cell::Lstm, 1.0, true);
    let gone = pool.join().expect("room");
    pool.frame_mut(gone).expect("a member").fill(0.5);
    pool.step();
    assert!(pool.output(gone).expect("a member").iter().any(|&y| y != 0.0));
    pool.leave(gone).expect("a member");
    let new = pool.join().expect("room");
    assert!(pool.output(new).expect("a member").iter().all(|&y| y == 0.0));
}
