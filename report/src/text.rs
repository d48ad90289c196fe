//! The report as text for people.

use std::fmt::Write;

use crate::report::{Report, Timing};

/// Returns the report as text.
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    match &report.adapter {
        Some(a) => {
            let name = if a.name.is_empty() { "(no name)" } else { &a.name };
            let known = [&a.vendor, &a.architecture, &a.class, &a.backend, &a.driver].map(String::as_str);
            let known: Vec<&str> = known.into_iter().filter(|word| !word.is_empty()).collect();
            line(format!("{name} [{}]", known.join(", ")));
            line(format!(
                "  features in use: {}",
                if a.features.is_empty() { "none".into() } else { a.features.join(", ") }
            ));
            let limits: Vec<String> = a.limits.iter().map(|(name, limit)| format!("{name} {limit}")).collect();
            line(format!("  limits in use: {}", limits.join(", ")));
        }
        None => line("no adapter".to_string()),
    }
    line(format!("{}; {:.0} s; {}", report.system, report.seconds, report.ended));
    let mut groups: Vec<&str> = Vec::new();
    report.checks.iter().for_each(|c| {
        if !groups.contains(&c.group.as_str()) {
            groups.push(&c.group)
        }
    });
    line("\nchecks against f64".to_string());
    for group in groups {
        let of = || report.checks.iter().filter(|c| c.group == group);
        let right = of().filter(|c| c.is_right()).count();
        let worst = of().map(|c| c.worst).fold(0.0, f64::max);
        line(format!("  {group:<12} {right:4} of {:4} right, largest error {worst:.1e}", of().count()));
    }
    for check in report.checks.iter().filter(|c| !c.is_right()) {
        let why = check.error.clone().unwrap_or_else(|| format!("error {:.1e} > {:.0e}", check.worst, check.tolerance));
        line(format!("  WRONG  {}: {}: {why}", check.group, check.name));
    }
    line("\ntimes, median in µs (fastest first)".to_string());
    let mut done: Vec<(&str, &str, &[u64])> = Vec::new();
    for timing in &report.timings {
        let key = (timing.kind.as_str(), timing.of.as_str(), &timing.dims[..]);
        if done.contains(&key) {
            continue;
        }
        done.push(key);
        let same = |t: &&Timing| (t.kind.as_str(), t.of.as_str(), &t.dims[..]) == key;
        let mut choices: Vec<&Timing> = report.timings.iter().filter(same).collect();
        choices.sort_by(|a, b| a.times.median.total_cmp(&b.times.median));
        let dims: Vec<String> = timing.dims.iter().map(u64::to_string).collect();
        let mut row = format!("  {:<10} {:<16} {:<16}", timing.kind, timing.of, dims.join("×"));
        for choice in choices {
            let space = if choice.choice.is_empty() { "" } else { " " };
            let _ = write!(row, " {}{space}{:.1};", choice.choice, choice.times.median);
        }
        line(row.trim_end_matches(';').to_string());
    }
    if !report.skipped.is_empty() {
        let (long, other): (Vec<_>, Vec<_>) = report.skipped.iter().partition(|s| s.why.starts_with("would take"));
        line(format!("\nleft out, because they would take long: {} calls, listed in the file", long.len()));
        for skipped in other {
            line(format!("  {}: {}", skipped.name, skipped.why));
        }
    }
    text
}
