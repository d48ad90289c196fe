//! Choices measured on an adapter: as text, as a file, and applied to a device.

use wgru::{Device, Error, Tuning};

const TEXT: &str = r#"{
  "wgru_tuning": 1,
  "adapters": {
    "a card, vulkan, 1.2": { "product 64 128 256 across split": "outer 4", "gru 256 32 any": "chain" },
    "another": { "gru 64 1 fused": "whole", "lstm 128 8 any": "chain", "product 1 8 64 mixed whole": "rows 1" }
  }
}"#;

#[test]
fn tunings_survive_a_text_round_trip() {
    let tuning = Tuning::from_json(TEXT).expect("read");
    assert_eq!(tuning.len(), 5);
    assert_eq!(Tuning::from_json(&tuning.to_json()).expect("read again"), tuning);
    for part in
        ["product 64 128 256 across split", "outer 4", "gru 64 1 fused", "lstm 128 8 any", "a card, vulkan, 1.2"]
    {
        assert!(tuning.to_json().contains(part), "{part}: {}", tuning.to_json());
    }
    assert!(Tuning::from_json(&Tuning::default().to_json()).expect("an empty one").is_empty());
}

#[test]
fn tunings_merge_by_adapter_and_question() {
    let mut tuning = Tuning::from_json(TEXT).expect("read");
    let other = TEXT.replace("\"chain\"", "\"steps\"").replace("another", "a third");
    tuning.merge(Tuning::from_json(&other).expect("read"));
    assert_eq!(tuning.len(), 8);
    assert!(tuning.to_json().contains("\"gru 256 32 any\": \"steps\""));
}

#[test]
fn invalid_tunings_are_refused() {
    let whole = TEXT.to_string();
    for text in [
        String::new(),
        "[]".into(),
        "{\"wgru_tuning\": 1}".into(),
        "{\"wgru_tuning\": 1, \"adapters\": {\"a\": 3}}".into(),
        whole.replace(": 1,", ": 2,"),
        whole.replace("\"chain\"", "7"),
        whole.replace("chain", "faster"),
        whole.replace("chain", "outer 4"),
        whole.replace("outer 4", "chain"),
        whole.replace("outer 4", "outer -4"),
        whole.replace("outer 4", "outer 4294967296"),
        whole.replace("outer 4", "inner 4"),
        whole.replace("product 64", "product 65"),
        whole.replace("product 64", "product 0"),
        whole.replace("across", "askew"),
        // Duplicates: a key of the file, an adapter, a question, and the same question in a different spelling.
        whole.replace("\"adapters\"", "\"wgru_tuning\": 1, \"adapters\""),
        whole.replace("another", "a card, vulkan, 1.2"),
        whole.replace("product 1 8 64 mixed whole", "gru 64 1 fused").replace("rows 1", "steps"),
        whole.replace("product 1 8 64 mixed whole", "gru 064 1 fused").replace("rows 1", "steps"),
        whole.replace("split\"", "broken\""),
        whole.replace("256 32 any", "256 32"),
        whole.replace("lstm", "gated"),
        "[".repeat(100_000),
        format!("{whole}{}", " ".repeat(1 << 20)),
    ] {
        let shown: String = text.chars().take(300).collect();
        match Tuning::from_json(&text) {
            Err(Error::Format { .. } | Error::Value { .. }) => {}
            other => panic!("{other:?} for {shown}"),
        }
    }
}

#[test]
fn tunings_are_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tuning.json");
    assert!(matches!(Tuning::load(&path), Err(Error::Io { .. })));
    let tuning = Tuning::from_json(TEXT).expect("read");
    tuning.save(&path).expect("written");
    assert_eq!(Tuning::load(&path).expect("read"), tuning);
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1, "no temporary file is left");
    assert!(matches!(tuning.save(folder.path().join("no/such/folder.json")), Err(Error::Io { .. })));
    std::fs::write(&path, vec![b' '; (1 << 20) + 1]).expect("written");
    assert!(matches!(Tuning::load(&path), Err(Error::Format { .. })));
    std::fs::write(&path, b"\x93NUMPY\x01\0").expect("written");
    let error = Tuning::load(&path).expect_err("an array").to_string();
    assert!(error.contains("not a tuning") && error.contains("NumPy"), "{error}");
}

#[test]
fn the_cpu_is_not_tuned() {
    let device = Device::cpu();
    assert!(matches!(device.tune(|| Ok(())), Err(Error::Value { .. })));
    assert!(!device.set_tuning(&Tuning::from_json(TEXT).expect("read")) && device.tuning().is_empty());
}

#[cfg(feature = "gpu")]
mod on_a_gpu {
    use wgru::nn::{Gru, Mode, Module, RecurrentConfig};
    use wgru::{Device, Error, GpuOptions, Result, Rng, Tensor, Tuning};

    use crate::common::{assert_close, fill, gpu};

    /// A different plan, different tiles, different splits of sums.
    const ORDER: f64 = 1e-5;
    const STEPS: usize = 5;

    fn layer(device: &Device) -> Gru {
        RecurrentConfig::gru(6, 72).build(device, &mut Rng::new(3)).expect("layer")
    }

    /// The output and the gradients of a training step.
    fn train(gru: &Gru, device: &Device) -> Result<Vec<f32>> {
        let x = Tensor::from_slice(device, &fill(1, STEPS * 9 * 6, 1.0), &[STEPS, 9, 6])?.requires_grad();
        gru.parameters().iter().for_each(|(_, p)| p.set_grad(None));
        let y = gru.forward_with(&x, &mut Mode::Train(&mut Rng::new(0)))?;
        y.square()?.sum()?.backward()?;
        let grads = gru.parameters().into_iter().map(|(_, p)| p.grad());
        let all = [Some(y), x.grad()].into_iter().chain(grads).flatten();
        Ok(all.map(|t| t.read_blocking()).collect::<Result<Vec<_>>>()?.concat())
    }

    fn preset(tuning: &Tuning) -> Device {
        let options = GpuOptions { tuning: Some(tuning.clone()), ..Default::default() };
        pollster::block_on(Device::gpu_with(options)).expect("the same adapter")
    }

    fn wide(values: &[f32]) -> Vec<f64> {
        values.iter().map(|&v| v.into()).collect()
    }

    #[test]
    fn tuning_keeps_results_and_presets_give_the_same_bits() {
        let Some(device) = gpu() else { return };
        let gru = layer(&device);
        let before = train(&gru, &device).expect("trained");
        assert!(device.tuning().is_empty());
        let tuning = device.tune(|| train(&gru, &device).map(drop)).expect("tuned");
        let text = tuning.to_json();
        println!("{text}");
        for part in ["gru 128 16 any", "product 64 256 8 ", "product 256 8 64 mixed split"] {
            assert!(text.contains(part), "{part} was not measured: {text}");
        }
        let after = train(&gru, &device).expect("trained");
        assert_close("tuned", &after, &wide(&before), ORDER);
        let other = preset(&tuning);
        assert_eq!(other.tuning(), tuning);
        let again = train(&layer(&other), &other).expect("trained");
        assert!(again.iter().zip(&after).all(|(a, b)| a.to_bits() == b.to_bits()), "the same bits");
    }

    /// The plans can be told apart by their dispatches.
    #[test]
    fn presets_override_the_rules_where_they_apply() {
        let Some(device) = gpu() else { return };
        let name = |device: &Device| format!("{:?}", device.info().adapter.as_ref().expect("a GPU").name);
        let x = |device: &Device| Tensor::from_slice(device, &fill(1, STEPS * 9 * 6, 1.0), &[STEPS, 9, 6]).expect("x");
        let run = |device: &Device| -> (usize, Vec<f32>) {
            let (gru, x) = (layer(device), x(device));
            device.flush().expect("submitted");
            let y = gru.forward(&x).expect("run");
            (device.pending(), y.read_blocking().expect("read"))
        };
        let (by_rule, want) = run(&device);
        let a = device.info().adapter.clone().expect("a GPU");
        let key = format!("{}, {}, {}", a.name, a.backend, a.driver);
        let with = |answer: &str, product: &str| {
            let product =
                format!("\"product 64 256 8 mixed whole\": {product:?}, \"product 64 256 8 along whole\": {product:?}");
            let text = format!(
                "{{\"wgru_tuning\": 1, \"adapters\": {{{key:?}: {{\"gru 128 16 any\": {answer:?}, {product}}}}}}}"
            );
            let device = preset(&Tuning::from_json(&text).expect("read"));
            assert_eq!(name(&device), name(&gpu().expect("there")));
            run(&device)
        };
        let counts: Vec<usize> = ["whole", "chain", "steps"]
            .into_iter()
            .map(|plan| {
                let (count, y) = with(plan, "plain 1");
                assert_close(plan, &y, &wide(&want), ORDER);
                count
            })
            .collect();
        assert_eq!(counts[1], counts[0] + STEPS - 1, "one dispatch per step");
        assert!(counts[2] > counts[1]);
        assert!(counts.contains(&by_rule));
        // Choices that a product cannot use, or that are always invalid, fall back to the rules.
        for product in ["outer 1", "subgroup 7", "plain 64", "tiled 4294967295", "rows 0"] {
            let (_, y) = with("chain", product);
            assert_close(product, &y, &wide(&want), ORDER);
        }
        let others = Tuning::from_json(super::TEXT).expect("read");
        assert!(!device.set_tuning(&others));
        assert_eq!(run(&device).1, want);
    }

    #[test]
    fn failed_tuning_changes_nothing() {
        let Some(device) = gpu() else { return };
        let (gru, mut calls) = (layer(&device), 0);
        let before = device.tuning();
        let failed = device.tune(|| {
            calls += 1;
            match calls {
                4 => Err(Error::Stopped("enough".into())),
                _ => train(&gru, &device).map(drop),
            }
        });
        assert!(matches!(failed, Err(Error::Stopped(_))));
        assert_eq!(device.tuning(), before);
    }
}
