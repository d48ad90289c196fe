//! Checks the report and the screenshot of a run of the application; see `scripts/test-desktop.sh`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

/// Minimum number of colors in a screenshot. A window without its plots has a few hundred.
const COLORS: usize = 1500;

#[derive(Parser)]
struct Expected {
    report: PathBuf,
    screenshot: PathBuf,
    /// Minimum number of updates
    #[arg(long, default_value_t = 0)]
    updates: u64,
    /// Minimum number of epochs
    #[arg(long, default_value_t = 0)]
    epochs: usize,
    /// Expect the losses to have fallen
    #[arg(long)]
    learns: bool,
    /// Expect the sensor to have run
    #[arg(long)]
    sensor: bool,
    /// Expect the previous run's model to have been loaded
    #[arg(long)]
    found: bool,
    /// Expect no training
    #[arg(long)]
    idle: bool,
    /// Expect a device loss after which training continued
    #[arg(long)]
    recovered: bool,
    /// Expect a window to have been reopened
    #[arg(long)]
    reopened: bool,
    /// Expect the program to have been restarted
    #[arg(long)]
    restarted: bool,
    /// Minimum number of inferences recorded in frames
    #[arg(long, default_value_t = 0)]
    inferences: u64,
}

fn main() -> ExitCode {
    let expected = Expected::parse();
    match check(&expected) {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            faults.iter().for_each(|fault| eprintln!("failed check: {fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check(expected: &Expected) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let report: Value = serde_json::from_slice(&std::fs::read(&expected.report)?)?;
    let number = |pointer: &str| report.pointer(pointer).and_then(Value::as_f64).ok_or(format!("no {pointer}"));
    let list = |key: &str| report[key].as_array().cloned().ok_or(format!("no {key}"));
    let (p50, p99, updates) = (number("/frame_ms/p50")?, number("/frame_ms/p99")?, number("/updates")?);
    let losses = list("losses_celsius")?;
    let events: Vec<String> = list("events")?.iter().map(|event| event.as_str().unwrap_or("").into()).collect();
    println!(
        "frame {p50:.1} ms (median), {p99:.1} ms (99 %); {updates} updates, {:.1} per second; at most {} ms per frame in wgru",
        number("/updates_per_second")?,
        report["wgru_in_frame_ms"]["max"],
    );
    if let Some(ms) = report["inference_ms"]["p50"].as_f64() {
        println!("recording an inference takes {ms:.2} ms (median), at most {:.2} ms", number("/inference_ms/max")?);
    }
    events.iter().for_each(|event| println!("  {event}"));

    let mut faults = Vec::new();
    let mut holds = |what: &str, is_so: bool| {
        if !is_so {
            faults.push(what.to_string());
        }
    };
    let counted: f64 = report["histogram"]["counts"].as_array().into_iter().flatten().filter_map(Value::as_f64).sum();
    holds("frames were measured", p50 > 0.0 && p99 >= p50 && counted == number("/frame_ms/count")?);
    holds("enough updates", updates >= expected.updates as f64);
    holds("enough epochs", losses.len() >= expected.epochs);
    holds("nothing was trained", !expected.idle || updates == 0.0);
    holds("the sensor played", !expected.sensor || number("/sensor_steps")? > 20.0);
    holds("the model was found", report["model_found"] == expected.found);
    let went_on = number("/lost")? == 1.0 && number("/recovered")? == 1.0;
    holds("training continued after the loss", went_on == expected.recovered);
    holds("the window was reopened", (number("/windows_reopened")? == 1.0) == expected.reopened);
    holds("the program was restarted", (number("/restarted")? == 1.0) == expected.restarted);
    holds("enough inferences", number("/inference_ms/count")? >= expected.inferences as f64);
    if expected.learns {
        let loss = |at: Option<&Value>, of: &str| at.and_then(|losses| losses[of].as_f64()).unwrap_or(f64::NAN);
        for of in ["training", "validation"] {
            holds(of, loss(losses.last(), of) < loss(losses.first(), of));
        }
    }
    for fault in picture_faults(&expected.screenshot)? {
        holds(&fault, false);
    }
    Ok(faults)
}

/// Lists the problems of a screenshot: too few colors overall, or a blank card.
fn picture_faults(path: &std::path::Path) -> image::ImageResult<Vec<String>> {
    let picture = image::open(path)?.to_rgb8();
    let (width, height) = picture.dimensions();
    let colors = |left: u32, top: u32, right: u32, bottom: u32| {
        let pixels = (top..bottom).flat_map(|y| (left..right).map(move |x| (x, y)));
        pixels.map(|(x, y)| picture.get_pixel(x, y).0).collect::<HashSet<_>>().len()
    };
    let all = colors(0, 0, width, height);
    println!("{}: {width}x{height}, {all} colors", path.display());
    let mut faults = Vec::new();
    if all < COLORS {
        faults.push(format!("{all} colors in the screenshot, fewer than {COLORS}"));
    }
    // The cards are to the right of the controls.
    let (left, middle, center) = (width / 4, width / 4 + width * 3 / 8, height / 2);
    for (name, part) in [
        ("learning", colors(left, 80, middle, center)),
        ("forecast", colors(middle, 80, width, center)),
        ("gates", colors(left, center, middle, height)),
        ("sensor", colors(middle, center, width, height)),
    ] {
        if part < 40 {
            faults.push(format!("the card {name} has {part} colors: it looks blank"));
        }
    }
    Ok(faults)
}
