//! Metrics, scores of probabilistic forecasts and conformal intervals, against their definitions.

use wgru::train::metrics::{self, ConfusionMatrix};
use wgru::train::{SplitConformal, accuracy, top_k_accuracy};
use wgru::{Device, Rng, Tensor};

use crate::common::fill;
use crate::on_every_backend;

on_every_backend![top_k_accuracy_counts_the_rows_with_fewer_greater_values];

#[track_caller]
fn close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-12 * want.abs().max(1.0), "{got}, not {want}");
}

fn top_k_accuracy_counts_the_rows_with_fewer_greater_values(device: &Device) {
    let (rows, classes) = (40, 7);
    let values = fill(1, rows * classes, 1.0);
    let target: Vec<u32> = (0..rows as u32).map(|i| i * 5 % classes as u32).collect();
    let logits = Tensor::from_slice(device, &values, &[8, 5, classes]).expect("tensor");
    let classes_ = Tensor::from_indices(device, &target, &[8, 5]).expect("tensor");
    for k in 1..=classes + 1 {
        let right = target
            .iter()
            .zip(values.chunks(classes))
            .filter(|(t, row)| row.iter().filter(|v| **v > row[**t as usize]).count() < k);
        let want = right.count() as f32 / rows as f32;
        let got = top_k_accuracy(&logits, &classes_, k).and_then(|v| v.item_blocking()).expect("accuracy");
        assert!((got - want).abs() <= 1e-6, "{k}: {got}, not {want}");
        if k == 1 {
            let plain = accuracy(&logits, &classes_).and_then(|v| v.item_blocking()).expect("accuracy");
            assert!((got - plain).abs() <= 1e-6, "{got}, not {plain}");
        }
    }
    // NaN counts as greater than the value of the class, and as a value of the class it is wrong.
    let nan = Tensor::from_slice(device, &[f32::NAN, 1.0, 0.0], &[1, 3]).expect("tensor");
    for (class, k, want) in [(1, 1, 0.0), (1, 2, 1.0), (0, 1, 0.0), (0, 2, 0.0)] {
        let class = Tensor::from_indices(device, &[class], &[1]).expect("tensor");
        assert_eq!(top_k_accuracy(&nan, &class, k).and_then(|v| v.item_blocking()).expect("accuracy"), want);
    }
    let text = top_k_accuracy(&logits, &classes_, 0).expect_err("refused").to_string();
    assert!(text.contains("top_k_accuracy") && text.contains('k'), "{text}");
}

#[test]
fn regression_metrics_match_their_definitions() {
    let (p, y) = (fill(2, 31, 3.0), fill(3, 31, 3.0));
    let pairs = || p.iter().zip(&y).map(|(&p, &y)| (f64::from(p), f64::from(y)));
    let n = 31.0;
    close(metrics::mae(&p, &y).expect("mae"), pairs().map(|(p, y)| (p - y).abs()).sum::<f64>() / n);
    let square: f64 = pairs().map(|(p, y)| p * p - 2.0 * p * y + y * y).sum();
    close(metrics::mse(&p, &y).expect("mse"), square / n);
    close(metrics::rmse(&p, &y).expect("rmse"), (square / n).sqrt());
    let (sum, squares) = pairs().fold((0.0, 0.0), |(sum, squares), (_, y)| (sum + y, squares + y * y));
    close(metrics::r2(&p, &y).expect("r2"), 1.0 - square / (squares - sum * sum / n));
    assert_eq!(metrics::r2(&[2.0, 2.0], &[2.0, 2.0]).expect("r2"), 1.0);
    assert_eq!(metrics::r2(&[2.0, 3.0], &[2.0, 2.0]).expect("r2"), 0.0);
    for metric in [metrics::mae, metrics::mse, metrics::rmse, metrics::r2] {
        assert!(metric(&[1.0, f32::NAN], &[1.0, 2.0]).expect("NaN").is_nan());
        assert!(metric(&[], &[]).is_err() && metric(&[1.0], &[1.0, 2.0]).is_err());
    }
}

#[test]
fn a_confusion_matrix_scores_every_class() {
    let mut matrix = ConfusionMatrix::new(4).expect("matrix");
    assert!(matrix.accuracy().is_nan() && matrix.macro_f1().is_nan());
    // Class 3 never occurs; class 2 is never predicted.
    matrix.add(&[0, 0, 1, 1], &[0, 1, 1, 2]).expect("added");
    matrix.add(&[0], &[0]).expect("added");
    assert_eq!([matrix.count(1, 0), matrix.count(2, 1), matrix.count(0, 0), matrix.count(9, 0)], [1, 1, 2, 0]);
    close(matrix.accuracy(), 0.6);
    close(matrix.precision(0), 2.0 / 3.0);
    close(matrix.recall(0), 1.0);
    close(matrix.f1(0), 0.8);
    close(matrix.f1(1), 0.5);
    assert_eq!([matrix.precision(2), matrix.recall(2), matrix.f1(2), matrix.f1(3)], [0.0; 4]);
    close(matrix.macro_f1(), (0.8 + 0.5 + 0.0) / 3.0);
    let before = matrix.clone();
    let text = matrix.add(&[0, 4], &[0, 1]).expect_err("refused").to_string();
    assert!(text.contains("prediction") && text.contains("below 4"), "{text}");
    assert!(matrix.add(&[0], &[0, 1]).is_err() && ConfusionMatrix::new(0).is_err());
    assert_eq!(matrix, before, "nothing is counted");
}

#[test]
fn crps_of_samples_and_of_quantiles_agree() {
    let samples = fill(4, 25, 2.0);
    for target in [-3.0f32, -0.5, 0.4, 2.5] {
        let (n, y) = (25.0, f64::from(target));
        let wide: Vec<f64> = samples.iter().map(|&x| f64::from(x)).collect();
        let distance: f64 = wide.iter().map(|x| (x - y).abs()).sum();
        let spread: f64 = wide.iter().flat_map(|a| wide.iter().map(move |b| (a - b).abs())).sum();
        let want = distance / n - 0.5 * spread / (n * n);
        close(metrics::crps_samples(&samples, target).expect("score"), want);
        let mut sorted = samples.clone();
        sorted.sort_by(f32::total_cmp);
        let levels: Vec<f64> = (0..25).map(|i| (f64::from(i) + 0.5) / n).collect();
        close(metrics::crps_quantiles(&levels, &sorted, target).expect("score"), want);
    }
    // Of a normal distribution at its center, the score is (√2 − 1)/√π.
    let mut rng = Rng::new(3);
    let draws: Vec<f32> = (0..20_000).map(|_| rng.normal()).collect();
    let got = metrics::crps_samples(&draws, 0.0).expect("score");
    let want = (2f64.sqrt() - 1.0) / std::f64::consts::PI.sqrt();
    assert!((got - want).abs() <= 0.005, "{got}, not {want}");
    // Uneven levels: each stands for its surroundings.
    let got = metrics::crps_quantiles(&[0.1, 0.5], &[1.0, 2.0], 4.0).expect("score");
    close(got, 2.0 * (0.3 * 0.1 * 3.0 + 0.7 * 0.5 * 2.0));
    assert!(metrics::crps_samples(&[1.0, f32::NAN], 0.0).expect("NaN").is_nan());
    assert!(metrics::crps_quantiles(&[0.5], &[f32::NAN], 0.0).expect("NaN").is_nan());
    assert!(metrics::crps_samples(&[], 0.0).is_err() && metrics::crps_quantiles(&[], &[], 0.0).is_err());
    for levels in [[0.5, 0.5], [0.9, 0.1], [0.0, 0.5], [0.5, f64::NAN]] {
        assert!(metrics::crps_quantiles(&levels, &[1.0, 2.0], 0.0).is_err(), "{levels:?}");
    }
    assert!(metrics::crps_quantiles(&[0.5], &[1.0, 2.0], 0.0).is_err());
}

#[test]
fn pinball_and_coverage_match_their_definitions() {
    let (p, y) = (fill(5, 20, 1.0), fill(6, 20, 1.0));
    for level in [0.1, 0.5, 0.95] {
        let tilt = |(p, y): (&f32, &f32)| {
            let d = f64::from(*y) - f64::from(*p);
            (level * d).max((level - 1.0) * d)
        };
        close(metrics::pinball(&p, &y, level).expect("score"), p.iter().zip(&y).map(tilt).sum::<f64>() / 20.0);
    }
    close(2.0 * metrics::pinball(&p, &y, 0.5).expect("score"), metrics::mae(&p, &y).expect("mae"));
    assert!(metrics::pinball(&p, &y, 1.0).is_err() && metrics::pinball(&p, &y[1..], 0.5).is_err());
    assert_eq!(metrics::coverage(&[0.0; 4], &[1.0; 4], &[0.0, 1.0, 1.1, -0.1]).expect("coverage"), 0.5);
    assert!(metrics::coverage(&[0.0], &[1.0], &[f32::NAN]).expect("NaN").is_nan());
    assert!(metrics::coverage(&[0.0], &[1.0, 2.0], &[0.5]).is_err() && metrics::coverage(&[], &[], &[]).is_err());
}

#[test]
fn conformal_radii_are_the_right_order_statistics() {
    let scores: Vec<f32> = (1..=99).rev().map(|i| i as f32).collect();
    for (alpha, want) in [(0.1, 90.0), (0.05, 95.0), (0.2, 80.0), (0.5, 50.0), (0.01, 99.0), (0.3, 70.0), (0.999, 1.0)]
    {
        assert_eq!(SplitConformal::of_scores(&scores, alpha).expect("calibrated").radius(), want, "{alpha}");
    }
    // ⌈101·0.9⌉ = 91 of 100.
    let hundred: Vec<f32> = (1..=100).map(|i| i as f32).collect();
    assert_eq!(SplitConformal::of_scores(&hundred, 0.1).expect("calibrated").radius(), 91.0);
    for (n, alpha, least) in [(8, 0.1, "9"), (18, 0.05, "19"), (0, 0.5, "1")] {
        let text = SplitConformal::of_scores(&scores[..n], alpha).expect_err("too few").to_string();
        assert!(text.contains(&format!("at least {least} ")), "{text}");
        assert!(SplitConformal::of_scores(&scores[..n + 1], alpha).is_ok());
    }
    for alpha in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(SplitConformal::of_scores(&scores, alpha).is_err(), "{alpha}");
    }
    let text = SplitConformal::of_scores(&[1.0, f32::NAN], 0.5).expect_err("NaN").to_string();
    assert!(text.contains("position 1"), "{text}");
    assert!(SplitConformal::absolute(&[1.0], &[1.0, 2.0], 0.5).is_err());
    assert!(SplitConformal::normalized(&[1.0], &[0.0], &[1.0], 0.5).is_err());
    assert!(SplitConformal::quantile(&[1.0], &[1.0], &[], 0.5).is_err());
}

/// On exchangeable data, each kind of interval covers `1 − alpha` on average over calibrations.
#[test]
fn conformal_intervals_cover_as_promised() {
    let mut rng = Rng::new(8);
    let alpha = 0.2;
    let [mut absolute, mut normalized, mut quantile] = [0usize; 3];
    let (calibrations, points) = (300, 20);
    for _ in 0..calibrations {
        // The noise grows with the scale; the model knows it up to a factor.
        let mut draw = |n: usize| {
            let scale: Vec<f32> = (0..n).map(|_| rng.uniform(0.5, 3.0)).collect();
            let target: Vec<f32> = scale.iter().map(|s| 1.0 + s * rng.normal()).collect();
            (vec![1.0f32; n], scale, target)
        };
        let (center, scale, target) = draw(19);
        let narrow =
            |scale: &[f32]| -> [Vec<f32>; 2] { [-0.3, 0.3].map(|side| scale.iter().map(|s| 1.0 + side * s).collect()) };
        let [low, high] = narrow(&scale);
        let a = SplitConformal::absolute(&center, &target, alpha).expect("calibrated");
        let b = SplitConformal::normalized(&center, &scale, &target, alpha).expect("calibrated");
        let c = SplitConformal::quantile(&low, &high, &target, alpha).expect("calibrated");
        let (_, scale, target) = draw(points);
        let [low, high] = narrow(&scale);
        for (i, y) in target.iter().enumerate() {
            let covers = |[low, high]: [f32; 2]| usize::from(low <= *y && *y <= high);
            absolute += covers(a.interval(1.0));
            normalized += covers(b.interval_scaled(1.0, scale[i]));
            quantile += covers(c.widened(low[i], high[i]));
        }
    }
    for (name, hits) in [("absolute", absolute), ("normalized", normalized), ("quantile", quantile)] {
        let share = hits as f64 / (calibrations * points) as f64;
        assert!((share - 0.8).abs() <= 0.02, "{name}: {share}");
    }
}
