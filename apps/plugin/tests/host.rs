//! Messages between the plug-in and the host: files, states, parameters, exchange of models.

mod common;

use common::models::{Models, fixture};
use common::{INPUT, MIX, OUTPUT, Plugin, same, signal};

use clack_extensions::params::{ParamInfoBuffer, PluginParams};
use clack_host::utils::ClapId;

#[test]
fn wrong_files_are_refused_with_the_reason_and_the_old_model_plays_on() {
    let models = Models::new();
    let good = models.nam(1, 48_000.0);
    let signals = [signal(1000, 1), signal(1000, 2)];
    let want = Plugin::with(&good, 48_000.0, 2).play(&signals, 64, &[]);
    let mut plugin = Plugin::with(&good, 48_000.0, 2);
    let nam = std::fs::read_to_string(&good).expect("text");
    for (path, word) in [
        (models.folder().join("missing.nam"), "missing.nam"),
        (models.write("wavenet.nam", nam.replace("LSTM", "WaveNet")), "\"WaveNet\""),
        (models.write("half.nam", &nam[..nam.len() / 2]), "half.nam"),
        (models.write("text.json", "guitar"), "text.json"),
        (models.write("empty.onnx", ""), "empty.onnx"),
        (models.with_knob(), "takes 2 values"),
        (models.with_activation(2, "mish"), "one after another"),
        (models.onnx_of_steps(64), "64 values at a time"),
        (models.onnx_without_state(), "not recurrent"),
        (models.folder().to_path_buf(), models.folder().to_str().expect("UTF-8")),
    ] {
        let error = plugin.load(&path).expect_err(word);
        assert!(error.contains(word), "{error}");
        plugin.errors();
        plugin.reset();
        same(word, &plugin.play(&signals, 64, &[]), &want);
    }
    assert!(String::from_utf8(plugin.save()).expect("text").contains("amp1"), "the old model is saved");
}

#[test]
fn states_are_restored() {
    let models = Models::new();
    let nam = models.nam(1, 48_000.0);
    let mut first = Plugin::with(&nam, 48_000.0, 2);
    let quiet = [vec![0.0; 4096], vec![0.0; 4096]];
    first.play(&quiet, 4096, &[(0, INPUT, 6.0), (0, OUTPUT, -3.0), (0, MIX, 0.75)]);
    let state = first.save();
    first.deactivate();
    first.activate(48_000.0);
    let signals = [signal(2000, 1), signal(2000, 2)];
    let want = first.play(&signals, 64, &[]);

    let mut second = Plugin::new();
    assert!(second.restore(&state));
    second.activate(48_000.0);
    same("restored", &second.play(&signals, 64, &[]), &want);
    assert_eq!(second.save(), state);

    // While audio runs: the model and the parameters arrive smoothly, and are there after a while.
    let mut third = Plugin::with(&fixture("aidax.json"), 48_000.0, 2);
    assert!(third.restore(&state));
    third.play(&quiet, 64, &[]);
    third.reset();
    same("while it runs", &third.play(&signals, 64, &[]), &want);
}

#[test]
fn damaged_states_change_nothing_and_missing_models_are_kept_by_name() {
    let models = Models::new();
    let nam = models.nam(1, 48_000.0);
    let mut plugin = Plugin::with(&nam, 48_000.0, 2);
    let state = plugin.save();
    for bytes in [&b""[..], b"{}", b"\0\0\0", &state[..state.len() / 2], &vec![b'['; 100_000]] {
        assert!(!plugin.restore(bytes));
        assert_eq!(plugin.save(), state);
        plugin.errors();
    }
    let moved = models.folder().join("moved.nam");
    std::fs::rename(&nam, &moved).expect("moved");
    let mut other = Plugin::new();
    assert!(other.restore(&state), "a project with a missing file opens");
    let errors = other.errors();
    assert!(errors.len() == 1 && errors[0].contains("amp1"), "{errors:?}");
    assert_eq!(other.save(), state, "and keeps the path");

    // A model that plays does not go on under the name of the missing one.
    let mut playing = Plugin::with(&moved, 48_000.0, 1);
    assert!(playing.restore(&state));
    playing.errors();
    playing.play(&[vec![0.0; 48_000]], 4096, &[]);
    let tone = signal(4096, 3);
    let got = playing.play(std::slice::from_ref(&tone), 64, &[]);
    // NaN fails, too.
    assert!(got[0].len() == tone.len() && got[0].iter().zip(&tone).all(|(a, b)| (a - b).abs() <= 1e-6));
}

#[test]
fn models_are_exchanged_while_audio_runs() {
    let models = Models::new();
    let (old, new) = (models.nam(1, 48_000.0), models.nam(5, 48_000.0));
    // A slow tone, so that jumps are visible.
    let tone = |len: usize| {
        vec![(0..len).map(|k| 0.5 * (k as f32 * std::f32::consts::TAU / 480.0).sin()).collect::<Vec<f32>>()]
    };
    let jump = |y: &[f32]| y.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
    let mut plugin = Plugin::with(&old, 48_000.0, 1);
    let before = plugin.play(&tone(4800), 64, &[]).remove(0);
    plugin.load(&new).expect("loaded");
    let fade = plugin.play(&tone(4800), 64, &[]).remove(0);
    let apart = (before[4799] - fade[2000]).abs();
    let both = [&before[4700..], &fade[..]].concat();
    let own = jump(&before[2000..]).max(jump(&fade[2000..]));
    assert!(jump(&both) <= 2.0 * own + apart / 900.0, "{} of {own}, apart {apart}", jump(&both));
    // The old model comes back to the main thread.
    assert_eq!(plugin.idle(), 1, "one request for the main thread");
    assert_eq!(plugin.restarts(), 0);
    // Only the new one is heard.
    plugin.reset();
    let want = Plugin::with(&new, 48_000.0, 1).play(&tone(4800), 64, &[]);
    same("the new model", &plugin.play(&tone(4800), 64, &[]), &want);
    // Many in a row: the last one wins, also if the host never calls the main thread.
    for seed in 10..20 {
        plugin.load(&models.nam(seed, 48_000.0)).expect("loaded");
        plugin.play(&tone(100), 10, &[]);
    }
    for _ in 0..4 {
        plugin.play(&tone(4800), 64, &[]);
        plugin.idle();
    }
    plugin.reset();
    let want = Plugin::with(&models.nam(19, 48_000.0), 48_000.0, 1).play(&tone(4800), 64, &[]);
    same("the last model", &plugin.play(&tone(4800), 64, &[]), &want);
}

#[test]
fn models_and_states_arrive_from_another_thread() {
    let models = Models::new();
    let files: Vec<_> = (1..5).map(|seed| models.nam(seed, 48_000.0)).collect();
    let mut plugin = Plugin::with(&files[0], 48_000.0, 1);
    let mut retired = 0;
    let blocks = plugin.while_playing(|instance| {
        for round in 0..100 {
            common::load(instance, &files[round % 4]).expect("loaded");
            if round % 3 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(2));
                retired += common::idle(instance);
            }
        }
    });
    assert!(blocks > 100 && retired > 1, "{blocks} blocks, {retired} requests");
    // The last one is heard in the end.
    for _ in 0..4 {
        plugin.play(&[signal(4800, 1)], 64, &[]);
        plugin.idle();
    }
    plugin.reset();
    let x = [signal(1000, 1)];
    let want = Plugin::with(&files[3], 48_000.0, 1).play(&x, 64, &[]);
    same("the last model", &plugin.play(&x, 64, &[]), &want);
}

#[test]
fn another_latency_waits_for_a_restart() {
    let models = Models::new();
    let (same_rate, other_rate) = (models.nam(1, 48_000.0), models.nam(5, 44_100.0));
    let mut plugin = Plugin::with(&same_rate, 48_000.0, 1);
    let x = [signal(3000, 1)];
    let want = plugin.play(&x, 64, &[]);
    plugin.load(&other_rate).expect("loaded");
    assert_eq!((plugin.restarts(), plugin.latency()), (1, 0));
    plugin.reset();
    same("until the restart", &plugin.play(&x, 64, &[]), &want);
    plugin.deactivate();
    let before = plugin.instance.access_handler(|main| main.latencies.get());
    plugin.activate(48_000.0);
    assert_eq!(plugin.instance.access_handler(|main| main.latencies.get()), before + 1);
    assert!((50..400).contains(&plugin.latency()), "{}", plugin.latency());
    let want = Plugin::with(&other_rate, 48_000.0, 1).play(&x, 64, &[]);
    same("after it", &plugin.play(&x, 64, &[]), &want);
}

/// The table in `README.md`.
#[test]
fn latency_is_as_documented() {
    let models = Models::new();
    let nam = models.nam(1, 48_000.0);
    let latencies = [44_100.0, 48_000.0, 88_200.0, 96_000.0].map(|rate| Plugin::with(&nam, rate, 2).latency());
    assert_eq!(latencies, [153, 0, 211, 221]);
}

#[test]
fn parameters_have_names_ranges_and_texts() {
    let mut plugin = Plugin::new();
    let handle = plugin.instance.plugin_handle();
    let params: PluginParams = handle.get_extension().expect("parameters");
    assert_eq!(params.count(&handle), 3);
    let mut buffer = ParamInfoBuffer::new();
    for (index, (name, id, value, text)) in
        [("Input", INPUT, 0.0, "0.0 dB"), ("Output", OUTPUT, 0.0, "0.0 dB"), ("Mix", MIX, 1.0, "100 %")]
            .into_iter()
            .enumerate()
    {
        let info = params.get_info(&handle, index as u32, &mut buffer).expect("a parameter");
        assert_eq!((info.name, info.id), (name.as_bytes(), ClapId::new(id)));
        assert_eq!(params.get_value(&handle, ClapId::new(id)), Some(value));
        let mut written = [0; 32];
        assert_eq!(params.value_to_text(&handle, ClapId::new(id), value, &mut written).expect("text"), text.as_bytes());
        let parsed = std::ffi::CString::new(text).expect("text");
        assert_eq!(params.text_to_value(&handle, ClapId::new(id), &parsed), Some(value));
    }
    assert!(params.get_info(&handle, 3, &mut buffer).is_none());
    assert!(params.get_value(&handle, ClapId::new(9)).is_none());
}

#[test]
fn parameters_move_without_jumps() {
    let mut plugin = Plugin::new();
    plugin.activate(48_000.0);
    let y =
        plugin.play(&[vec![0.5; 4000], vec![0.5; 4000]], 64, &[(1000, OUTPUT, 12.0), (3000, OUTPUT, -24.0)]).remove(0);
    let (loud, quiet) = (0.5 * 10f64.powf(0.6) as f32, 0.5 * 10f64.powf(-1.2) as f32);
    assert!((y[999], y[2999], y[3999]) == (0.5, loud, quiet), "{} {} {}", y[999], y[2999], y[3999]);
    for (k, pair) in y.windows(2).enumerate() {
        assert!((pair[1] - pair[0]).abs() <= 1.01 * (loud - quiet) / 960.0, "sample {k}");
    }
}
