//! The attention decoder over a GRU encoder: compared with PyTorch, single steps compared with whole sequences, and a
//! test that it learns.
//!
//! The fixtures come from `tests/golden/generate_seq2seq.py`.

use serde_json::Value;
use wgru::models::decode::{Beam, Sampling, TokenStep};
use wgru::models::{ContextUse, Forcing, Seq2Seq, Seq2SeqConfig};
use wgru::nn::{Mode, Module, Score};
use wgru::train::{AdamConfig, Method, Optimizer};
use wgru::{Device, Error, Result, Rng, Tensor};

use crate::common::{assert_close, fill};
use crate::on_every_backend;

/// Single precision against PyTorch's f64, through two layers of both networks. Worst measured: 3e-7.
const GOLDEN: f64 = 1e-6;
/// Products with a different number of rows may sum in a different order.
const ORDER: f64 = 1e-6;

on_every_backend![
    seq2seq_matches_pytorch,
    stepping_matches_the_whole_target,
    rows_of_a_batch_are_independent,
    scheduled_sampling_feeds_predictions,
    training_learns_to_reverse_a_few_lists,
];

fn fixtures() -> Value {
    serde_json::from_str(include_str!("seq2seq.json")).expect("seq2seq.json")
}

fn numbers(json: &Value) -> Vec<f64> {
    json.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn lists(json: &Value) -> Vec<Vec<u32>> {
    json.as_array().expect("lists").iter().map(|list| numbers(list).iter().map(|&v| v as u32).collect()).collect()
}

fn read(tensor: &Tensor) -> Vec<f32> {
    tensor.read_blocking().expect("read back")
}

/// The model of a fixture, with the fixture's weights.
fn model(device: &Device, file: &Value, case: &Value) -> Seq2Seq {
    let size = |json: &Value| json.as_u64().expect("a size") as usize;
    let config = Seq2SeqConfig {
        source: size(&file["vocabulary"]),
        target: size(&file["vocabulary"]),
        embedding: size(&case["embedding"]),
        hidden: size(&case["hidden"]),
        layers: size(&case["layers"]),
        bidirectional: case["bidirectional"] == true,
        score: match case["score"].as_str() {
            Some("dot") => Score::Dot,
            Some("general") => Score::General,
            _ => Score::Additive { units: size(&case["units"]) },
        },
        scaled: case["scaled"] == true,
        context: if case["context"] == "input" { ContextUse::Input } else { ContextUse::Output },
        ..Seq2SeqConfig::default()
    };
    let model = config.build(device, &mut Rng::new(0)).expect("a legal configuration");
    for (i, (_, parameter)) in model.parameters().iter().enumerate() {
        parameter.assign(&fill(3000 + i as u32, parameter.len(), 0.6)).expect("assigned");
    }
    model
}

fn seq2seq_matches_pytorch(device: &Device) {
    let file = fixtures();
    let (sources, targets) = (lists(&file["sources"]), lists(&file["targets"]));
    let cases = file["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let model = model(device, &file, case);
        let what = |name: &str| format!("{name} of {}", case["name"]);
        let out = model.run(&sources, &targets, &Forcing::default(), &mut Mode::Eval).expect("run");
        assert_close(&what("logits"), &read(&out.logits), &numbers(&case["logits"]), GOLDEN);
        assert_close(&what("weights"), &read(&out.weights), &numbers(&case["weights"]), GOLDEN);
        assert!(!out.logits.is_tracked(), "evaluation records no tape");

        let mode = &mut Mode::Train(&mut Rng::new(0));
        let loss = model.loss(&sources, &targets, &Forcing::default(), mode).expect("loss");
        assert_close(&what("loss"), &read(&loss), &[case["loss"].as_f64().expect("loss")], GOLDEN);
        loss.backward().expect("backward");
        let parameters = model.parameters();
        assert_eq!(parameters.len(), case["gradients"].as_object().expect("gradients").len());
        for (name, parameter) in parameters {
            let grad = parameter.grad().unwrap_or_else(|| panic!("{name}: no gradient"));
            let want = numbers(&case["gradients"][&name]);
            // Relative to gradients of order 0.1, because much smaller ones result from cancellation.
            let (got, want) = ([&read(&grad)[..], &[0.1]].concat(), [&want[..], &[0.1]].concat());
            assert_close(&what(&name), &got, &want, GOLDEN);
        }
    }
}

const CONTEXTS: [ContextUse; 2] = [ContextUse::Input, ContextUse::Output];

fn small(device: &Device, context: ContextUse, seed: u64) -> Seq2Seq {
    let config = Seq2SeqConfig {
        source: 7,
        target: 6,
        embedding: 5,
        hidden: 8,
        layers: 2,
        score: Score::Additive { units: 6 },
        context,
        ..Seq2SeqConfig::default()
    };
    config.build(device, &mut Rng::new(seed)).expect("a legal configuration")
}

fn stepping_matches_the_whole_target(device: &Device) {
    let (sources, targets) =
        ([vec![3, 6, 2], vec![5], vec![1, 2, 3, 4]], [vec![2, 3, 4], vec![5, 5, 2], vec![3, 3, 3]]);
    for context in CONTEXTS {
        let model = small(device, context, 3);
        let whole = model.run(&sources, &targets, &Forcing::default(), &mut Mode::Eval).expect("run");
        let whole = read(&whole.logits.log_softmax().expect("log_softmax"));
        let mut state = model.start(&sources).expect("encoded");
        for t in 0..4 {
            let tokens: Vec<u32> = targets.iter().map(|list| if t == 0 { 0 } else { list[t - 1] }).collect();
            let (log_probs, next) = model.step(&state, &tokens).expect("step");
            let want: Vec<f64> = whole[t * 18..][..18].iter().map(|&v| v as f64).collect();
            assert_close(&format!("{context:?}, step {t}"), &log_probs, &want, ORDER);
            // Rows may be selected and duplicated: the last row replaces the first two.
            let picked = model.select(&next, &[2, 0, 2]).expect("rows");
            let (other, _) = model.step(&picked, &[4, 4, 4]).expect("step");
            let (plain, _) = model.step(&next, &[4, 4, 4]).expect("step");
            let want: Vec<f64> = [2, 0, 2].iter().flat_map(|&row| &plain[6 * row..][..6]).map(|&v| v as f64).collect();
            assert_close(&format!("{context:?}, rows after step {t}"), &other, &want, ORDER);
            state = next;
        }
    }
}

fn rows_of_a_batch_are_independent(device: &Device) {
    let sources = [vec![3, 6, 2], vec![5], vec![1, 2, 3, 4]];
    for context in CONTEXTS {
        let model = small(device, context, 5);
        let greedy = model.greedy(&sources, 7).expect("greedy");
        let beams = model.beam(&sources, 7, &Beam { width: 3, length_penalty: 0.6 }).expect("beam");
        for (i, source) in sources.iter().enumerate() {
            let alone = model.greedy(&[source], 7).expect("greedy");
            assert_eq!(alone[0].tokens, greedy[i].tokens, "{context:?}, row {i}");
            assert!((alone[0].log_prob - greedy[i].log_prob).abs() <= 1e-5);
            let alone = model.beam(&[source], 7, &Beam { width: 3, length_penalty: 0.6 }).expect("beam");
            let tokens = |list: &[wgru::models::decode::Hypothesis]| -> Vec<_> {
                list.iter().map(|hypothesis| hypothesis.tokens.clone()).collect()
            };
            assert_eq!(tokens(&alone[0]), tokens(&beams[i]), "{context:?}, row {i}");
        }
        let one = model.beam(&sources, 7, &Beam { width: 1, length_penalty: 0.0 }).expect("beam");
        assert!(one.iter().zip(&greedy).all(|(beam, greedy)| beam[0].tokens == greedy.tokens), "{context:?}");
        let drawn = |seed| model.sample(&sources, 7, &Sampling::default(), &mut Rng::new(seed)).expect("sample");
        assert_eq!(drawn(1), drawn(1));
    }
}

fn scheduled_sampling_feeds_predictions(device: &Device) {
    let (sources, targets) = ([vec![3, 6, 2], vec![5, 1]], [vec![2, 3, 4], vec![5, 5, 2]]);
    for context in CONTEXTS {
        let model = small(device, context, 8);
        let run = |targets: &[Vec<u32>], forcing: Forcing, seed| {
            let out = model.run(&sources, targets, &forcing, &mut Mode::Train(&mut Rng::new(seed))).expect("run");
            read(&out.logits)
        };
        // Without teacher forcing, the result is the same as with the model's predictions as the target.
        let free = run(&targets, Forcing { ratio: 0.0, drawn: false }, 1);
        let best = |row: &[f32]| (0..6).fold(0, |best, i| if row[i] > row[best] { i } else { best }) as u32;
        let predicted: Vec<Vec<u32>> =
            (0..2).map(|b| (0..3).map(|t| best(&free[(t * 2 + b) * 6..][..6])).collect()).collect();
        assert_ne!(predicted, targets, "the predictions differ from the targets");
        let forced = run(&predicted, Forcing::default(), 1);
        let want: Vec<f64> = forced.iter().map(|&v| v as f64).collect();
        assert_close(&format!("{context:?}"), &free, &want, ORDER);

        let drawn = |ratio, seed| run(&targets, Forcing { ratio, drawn: true }, seed);
        assert_eq!(drawn(0.5, 1), drawn(0.5, 1), "{context:?}: same seed, same bits");
        assert!(
            (2..10).any(|seed| drawn(0.5, seed) != drawn(0.5, 1)),
            "{context:?}: different seeds draw different tokens"
        );
        // The first step always gets the start token.
        assert_eq!(drawn(0.0, 3)[..12], drawn(0.9, 4)[..12]);
    }
}

/// Lists of tokens, each at least 2, and the same lists reversed.
fn reversed() -> [Vec<Vec<u32>>; 2] {
    let sources = vec![vec![2, 3, 4], vec![5, 2], vec![4], vec![3, 5, 5, 2], vec![2, 2, 3], vec![4, 3]];
    let targets = sources.iter().map(|list: &Vec<u32>| list.iter().rev().copied().collect()).collect();
    [sources, targets]
}

fn training_learns_to_reverse_a_few_lists(device: &Device) {
    let [sources, targets] = reversed();
    for (context, ratio) in [(ContextUse::Output, 1.0), (ContextUse::Input, 0.8)] {
        let mut rng = Rng::new(2);
        let config = Seq2SeqConfig { source: 6, target: 6, embedding: 8, hidden: 16, context, ..Default::default() };
        let model = config.build(device, &mut rng).expect("a legal configuration");
        let adam = Method::Adam(AdamConfig::default());
        let mut optimizer = Optimizer::new(model.parameters(), adam, 0.03).expect("optimizer");
        let mut losses = Vec::new();
        for _ in 0..50 {
            optimizer.zero_grad();
            let forcing = Forcing { ratio, drawn: true };
            let loss = model.loss(&sources, &targets, &forcing, &mut Mode::Train(&mut rng)).expect("loss");
            loss.backward().and_then(|_| optimizer.step()).expect("an update");
            losses.push(loss);
        }
        let losses: Vec<f32> = losses.iter().map(|loss| loss.item_blocking().expect("read")).collect();
        assert!(losses[0] > 1.5 && losses[49] < 0.1, "{context:?}: {losses:?}");
        let greedy = model.greedy(&sources, 8).expect("greedy");
        let beams = model.beam(&sources, 8, &Beam::default()).expect("beam");
        for (i, target) in targets.iter().enumerate() {
            assert_eq!(&greedy[i].tokens, target, "{context:?}");
            assert_eq!(&beams[i][0].tokens, target, "{context:?}");
            assert!(greedy[i].ended && beams[i][0].log_prob >= greedy[i].log_prob - 1e-5);
        }
    }
}

#[test]
fn seq2seq_refuses_invalid_arguments() -> Result<()> {
    let device = Device::cpu();
    let rng = &mut Rng::new(0);
    let base = Seq2SeqConfig { source: 5, target: 6, embedding: 2, hidden: 3, ..Seq2SeqConfig::default() };
    let refused = |result: Result<()>, arg: &str| {
        let text = result.expect_err(arg).to_string();
        assert!(text.contains(arg), "{text:?} does not name {arg:?}");
    };
    for (wrong, arg) in [
        (Seq2SeqConfig { start: 6, ..base.clone() }, "start"),
        (Seq2SeqConfig { end: 6, ..base.clone() }, "end"),
        (Seq2SeqConfig { end: 0, ..base.clone() }, "end"),
        (Seq2SeqConfig { hidden: 0, ..base.clone() }, "hidden"),
        (Seq2SeqConfig { hidden: usize::MAX, ..base.clone() }, "shape"),
        (Seq2SeqConfig { embedding: 0, ..base.clone() }, "size"),
        (Seq2SeqConfig { layers: 0, ..base.clone() }, "layers"),
        (Seq2SeqConfig { dropout: 1.0, ..base.clone() }, "0 ≤ p < 1"),
        (Seq2SeqConfig { score: Score::Dot, ..base.clone() }, "dot product"),
    ] {
        refused(wrong.build(&device, rng).map(|_| ()), arg);
    }
    let model = base.build(&device, rng)?;
    let run = |sources: &[Vec<u32>], targets: &[Vec<u32>], ratio, mode: &mut Mode| {
        model.run(sources, targets, &Forcing { ratio, drawn: false }, mode).map(|_| ())
    };
    let one = [vec![2]];
    run(&one, &[vec![]], 1.0, &mut Mode::Eval)?;
    refused(run(&[], &[], 1.0, &mut Mode::Eval), "sources");
    refused(run(&[vec![]], &one, 1.0, &mut Mode::Eval), "sources");
    refused(run(&[vec![5]], &one, 1.0, &mut Mode::Eval), "sources");
    refused(run(&one, &[vec![6]], 1.0, &mut Mode::Eval), "targets");
    refused(run(&one, &[vec![2], vec![2]], 1.0, &mut Mode::Eval), "targets");
    refused(run(&one, &one, f32::NAN, &mut Mode::Eval), "ratio");
    refused(run(&one, &one, 0.5, &mut Mode::Eval), "ratio");
    assert!(matches!(model.greedy(&one, 0), Err(Error::Value { arg: "max_length", .. })));
    refused(model.step(&model.start(&one)?, &[6]).map(|_| ()), "index");
    Ok(())
}
