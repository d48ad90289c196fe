//! Device loss at a random moment: every later call reports it, and a run that was copied to host memory resumes on a
//! new device with the bits of an uninterrupted run.
#![cfg(all(feature = "gpu", not(target_arch = "wasm32")))]

use std::thread;
use std::time::{Duration, Instant};

use wgru::io::{load_checkpoint, save_checkpoint_blocking};
use wgru::nn::{Gru, Mode, Module, RecurrentConfig, RunOptions};
use wgru::train::{HostData, Optimizer, Snapshot, TrainOptions, Trainer, loss};
use wgru::{Device, Error, Keeper, Result, Rng, Tensor, wgpu};

use crate::common::fill;

/// Device losses per kind of run, alternating between adopted devices and our own.
const LOSSES: u64 = 34;

fn open(is_adopted: bool) -> Device {
    if !is_adopted {
        return Device::gpu_blocking().expect("a device");
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapter = pollster::block_on(instance.request_adapter(&Default::default())).expect("an adapter");
    let (device, queue) = pollster::block_on(adapter.request_device(&Default::default())).expect("a device");
    Device::from_wgpu(&adapter, device, queue).expect("adopted")
}

/// Destroys the device after a random time of at most `most` seconds.
fn destroy_soon(device: &Device, rng: &mut Rng, most: f32) -> thread::JoinHandle<()> {
    let (raw, after) = (device.wgpu().expect("a GPU").0.clone(), Duration::from_secs_f32(rng.uniform(0.0, most)));
    thread::spawn(move || {
        thread::sleep(after);
        raw.destroy();
    })
}

/// Asserts that every call reports the loss at once.
fn assert_lost(device: &Device, tensor: &Tensor, what: &str) {
    let start = Instant::now();
    let results = [
        device.flush(),
        device.wait_blocking(),
        Tensor::zeros(device, &[3]).map(drop),
        tensor.assign(&vec![0.0; tensor.len()]),
        tensor.read_blocking().map(drop),
        pollster::block_on(tensor.read()).map(drop),
        tensor.square().and_then(|t| t.read_blocking()).map(drop),
        tensor.wgpu_buffer().map(drop),
    ];
    for (i, result) in results.iter().enumerate() {
        assert!(matches!(result, Err(Error::DeviceLost(_))), "{what}, call {i}: {result:?}");
    }
    assert!(device.is_lost());
    assert!(start.elapsed() < Duration::from_secs(1), "{what}: {:?}", start.elapsed());
}

fn gru(device: &Device) -> Gru {
    let config = RecurrentConfig { batch_first: true, ..RecurrentConfig::gru(3, 12) };
    config.build(device, &mut Rng::new(0)).expect("gru")
}

struct Run {
    model: Gru,
    data: HostData,
    trainer: Trainer,
}

fn build(device: &Device) -> Result<Run> {
    let config = RecurrentConfig { dropout: 0.3, layers: 2, batch_first: true, ..RecurrentConfig::gru(3, 12) };
    let model = config.build(device, &mut Rng::new(0))?;
    let data = HostData::new(device, fill(1, 60 * 5 * 3, 1.0), &[5, 3])?;
    let data = data.with_targets(fill(2, 60 * 5 * 12, 0.5), &[5, 12])?;
    let optimizer = Optimizer::adam(model.parameters(), 1e-2)?;
    let options = TrainOptions { epochs: 4, batch: 5, patience: Some(10), ..Default::default() };
    Ok(Run { model, data, trainer: Trainer::new(optimizer, options, Rng::new(3)) })
}

impl Run {
    fn fit(&mut self, mut at_update: impl FnMut(u64)) -> Result<()> {
        let mut count = 0;
        let mut training = self.trainer.start(&self.model, &self.data, Some(&self.data), loss::mse)?;
        while training.next_blocking()?.is_some() {
            count += 1;
            at_update(count);
        }
        training.finish_blocking().map(drop)
    }

    fn bits(&self) -> Vec<u32> {
        let values = |(_, w): (String, Tensor)| w.read_blocking().expect("read");
        self.model.parameters().into_iter().flat_map(values).map(f32::to_bits).collect()
    }
}

#[test]
fn resumed_training_gives_the_bits_of_an_uninterrupted_run() {
    if crate::common::gpu().is_none() {
        return eprintln!("SKIPPED: no adapter");
    }
    let (want, mean) = {
        let mut run = build(&open(true)).expect("built");
        let start = Instant::now();
        run.fit(|_| ()).expect("trained");
        (run.bits(), start.elapsed().as_secs_f32())
    };
    let mut rng = Rng::new(11);
    let (mut lost, mut resumed_within, mut attempt) = (0, 0, 0);
    while lost < LOSSES {
        attempt += 1;
        assert!(attempt < 10 * LOSSES, "too many training runs finished before the device was lost");
        let is_adopted = attempt % 2 == 0;
        let device = open(is_adopted);
        let Run { model, data, trainer } = build(&device).expect("built");
        let mut run = Run { model, data, trainer };
        run.trainer.keep_every(Some(1 + rng.below(9)));
        // The device is destroyed by a timer on another thread, or by the callback between two updates.
        let (at, raw) = (1 + rng.below(48) as u64, device.wgpu().expect("a GPU").0.clone());
        let timer = (attempt % 3 == 0).then(|| destroy_soon(&device, &mut rng, mean));
        let failed = run.fit(|update| {
            if timer.is_none() && update == at {
                raw.destroy();
            }
        });
        if let Some(timer) = timer {
            timer.join().expect("no panic");
        }
        match failed {
            Ok(()) => continue,
            Err(Error::DeviceLost(_)) => lost += 1,
            Err(error) => panic!("{error}"),
        }
        assert_lost(&device, &run.model.parameters()[0].1, "training");
        let kept: Option<Snapshot> = run.trainer.snapshot().cloned();
        drop(run);
        let mut again = build(&open(!is_adopted)).expect("rebuilt");
        if let Some(kept) = &kept {
            again.trainer.resume(&again.model, kept).expect("resumed");
            resumed_within += u64::from(!kept.updates().is_multiple_of(12));
        }
        again.fit(|_| ()).expect("continued");
        assert_eq!(again.bits(), want, "loss {lost}, from update {:?}", kept.map(|k| k.updates()));
    }
    // The number depends on the load of the machine.
    assert!(resumed_within > 2, "{resumed_within} of {lost} within an epoch");
}

#[test]
fn inference_with_carried_state_resumes() {
    if crate::common::gpu().is_none() {
        return eprintln!("SKIPPED: no adapter");
    }
    const FRAMES: usize = 120;
    let frame = |model: &Gru, h: &Tensor, i: usize| {
        let x = Tensor::from_slice(h.device(), &fill(i as u32, 3, 1.0), &[1, 1, 3])?;
        Ok::<_, Error>(model.run(&x, RunOptions { h0: Some(h), ..Default::default() }, &mut Mode::Eval)?.h_n)
    };
    let zeros = |device: &Device| Tensor::zeros(device, &[1, 1, 12]);
    let want = {
        let device = open(true);
        let (model, mut h) = (gru(&device), zeros(&device).expect("h"));
        (0..FRAMES).for_each(|i| h = frame(&model, &h, i).expect("a frame"));
        h.read_blocking().expect("read")
    };
    let (mut rng, mut lost, mut kept_some) = (Rng::new(5), 0u64, 0);
    while lost < LOSSES {
        let device = open(lost % 2 == 0);
        let (model, mut h) = (gru(&device), zeros(&device).expect("h"));
        let mut keeper = Keeper::every(7);
        // The device is lost within a frame or between two frames.
        let (at, mut destroyed) = (rng.below(FRAMES - 5), None);
        let error = (0..).find_map(|i| {
            if i == at {
                destroyed = Some(destroy_soon(&device, &mut rng, 0.002));
            }
            let step = |h: &mut Tensor, keeper: &mut Keeper<usize>| {
                *h = frame(&model, h, i % FRAMES)?;
                keeper.offer(|| i, &[("h", h)])?;
                // Every other frame, reads the state as streaming would.
                if i % 2 == 0 { pollster::block_on(h.read()).map(drop) } else { Ok(()) }
            };
            step(&mut h, &mut keeper).err()
        });
        if let Some(thread) = destroyed {
            thread.join().expect("no panic");
        }
        assert!(matches!(error, Some(Error::DeviceLost(_))), "{error:?}");
        assert_lost(&device, &h, "inference");
        lost += 1;
        let other = open(lost % 2 == 0);
        let model = gru(&other);
        let (first, mut h) = match keeper.kept().filter(|kept| kept.tag < FRAMES) {
            Some(kept) => (kept.tag + 1, kept.tensor("h", &other).expect("kept")),
            None => (0, zeros(&other).expect("h")),
        };
        kept_some += usize::from(first > 0);
        (first..FRAMES).for_each(|i| h = frame(&model, &h, i).expect("a frame"));
        assert_eq!(h.read_blocking().expect("read"), want, "from frame {first}");
    }
    assert!(kept_some > 2, "{kept_some} of {lost} had copies");
}

/// Pending reads, asynchronous and blocking ones, return the error.
#[test]
fn readers_are_told() {
    if crate::common::gpu().is_none() {
        return eprintln!("SKIPPED: no adapter");
    }
    let mut rng = Rng::new(9);
    for loss in 0..LOSSES {
        let device = open(loss % 2 == 0);
        let destroyed = destroy_soon(&device, &mut rng, 0.03);
        let reader = || {
            let x = Tensor::full(&device, 2.0, &[500])?;
            loop {
                let y = x.square()?;
                let values = if loss % 4 < 2 { pollster::block_on(y.read())? } else { y.read_blocking()? };
                assert_eq!(values, [4.0; 500]);
            }
        };
        let start = Instant::now();
        thread::scope(|scope| {
            let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| -> Result<()> { reader() })).collect();
            for reader in readers {
                let error = reader.join().expect("no panic").expect_err("ends only by an error");
                assert!(matches!(error, Error::DeviceLost(_)), "{error}");
            }
        });
        destroyed.join().expect("no panic");
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
}

/// A snapshot within an epoch can be saved to a file and loaded.
#[test]
fn a_snapshot_within_an_epoch_is_a_checkpoint() {
    let device = Device::cpu();
    let want = {
        let mut run = build(&device).expect("built");
        run.fit(|_| ()).expect("trained");
        run.bits()
    };
    let mut run = build(&device).expect("built");
    run.trainer.keep_every(Some(7));
    let mut snapshots = Vec::new();
    let mut training = run.trainer.start(&run.model, &run.data, Some(&run.data), loss::mse).expect("started");
    while training.next_blocking().expect("update").is_some() {
        snapshots.extend(training.trainer().snapshot().cloned());
    }
    training.finish_blocking().expect("trained");
    assert_eq!(run.bits(), want, "taking snapshots changed the training");
    snapshots.dedup_by_key(|s| s.updates());
    assert_eq!(snapshots.iter().map(Snapshot::updates).collect::<Vec<_>>(), [7, 14, 21, 28, 35, 42]);
    let folder = tempfile::tempdir().expect("a folder");
    for snapshot in &snapshots {
        let path = folder.path().join("snapshot.safetensors");
        snapshot.to_file().save(&path).expect("saved");
        let mut again = build(&device).expect("built");
        let file = wgru::io::TensorFile::open(&path).expect("opened");
        load_checkpoint(&mut again.trainer, &again.model, &file).expect("loaded");
        assert_eq!(again.trainer.epoch(), snapshot.epoch());
        again.fit(|_| ()).expect("continued");
        assert_eq!(again.bits(), want, "from update {}", snapshot.updates());
    }
    // An invalid position is refused and changes nothing.
    let mut run = build(&device).expect("built");
    let before = run.bits();
    for (key, value) in [("within.done", "0"), ("within.done", "99"), ("within.seed", "x")] {
        let mut file = snapshots[0].to_file();
        file.metadata.insert(key.into(), value.into());
        assert!(matches!(load_checkpoint(&mut run.trainer, &run.model, &file), Err(Error::Format { .. })), "{key}");
        assert_eq!(run.bits(), before);
    }
    save_checkpoint_blocking(&run.trainer, &run.model, folder.path().join("between.safetensors"))
        .expect("between epochs");

    // A run that is saved right after it was resumed keeps its position.
    let path = folder.path().join("again.safetensors");
    let mut first = build(&device).expect("built");
    first.trainer.resume(&first.model, &snapshots[2]).expect("resumed");
    save_checkpoint_blocking(&first.trainer, &first.model, &path).expect("saved");
    let mut second = build(&device).expect("built");
    let file = wgru::io::TensorFile::open(&path).expect("opened");
    load_checkpoint(&mut second.trainer, &second.model, &file).expect("loaded");
    // The position is invalid for a different batch size.
    second.trainer.options_mut().batch = 30;
    let refused = second.fit(|_| ());
    assert!(matches!(refused, Err(Error::Value { arg: "data and batch", .. })), "{refused:?}");
    second.trainer.options_mut().batch = 5;
    second.fit(|_| ()).expect("continued");
    assert_eq!(second.bits(), want);
}

/// A failed copy is abandoned, and the next one is made.
#[test]
fn a_keeper_recovers_from_a_failed_copy() {
    if crate::common::gpu().is_none() {
        return eprintln!("SKIPPED: no adapter");
    }
    let device = open(true);
    let x = Tensor::full(&device, 2.0, &[3]).expect("x");
    device.flush().expect("submitted");
    let lost = x.square().expect("recorded");
    let mut keeper = Keeper::every(1);
    device.cancel();
    assert!(keeper.offer(|| 0, &[("lost", &lost)]).is_err(), "undefined");
    for i in 1..50 {
        keeper.offer(|| i, &[("x", &x)]).expect("offered");
        thread::sleep(Duration::from_millis(1));
    }
    pollster::block_on(keeper.finish()).expect("finished");
    assert_eq!(keeper.kept().expect("kept").get("x").expect("there").1, [2.0; 3]);
}
