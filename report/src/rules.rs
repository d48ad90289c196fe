//! Rules for plans and shaders, read from reports.
//!
//! For every adapter, the limits of [`Rules`] are chosen that make the measured work fastest: the mean, over all sizes
//! and cells, of the logarithm of the time of what they choose relative to the fastest choice. A limit differs from its
//! estimate only if that gains [`MARGIN`].

use std::collections::BTreeMap;
use std::fmt::Write;

use wgru::nn::Plan;
use wgru::ops::adapters::{Rules, estimates};
use wgru::ops::tiled_variant;
use wgru::{AdapterClass, Cell};

use crate::report::{Adapter, Report, class_name};
use crate::{COMPLETE, Timing};

/// Decrease of the mean time for which a rule may differ from the estimates, and for which each of its limits may.
const MARGIN: f64 = 0.03;

/// Classes by name.
const CLASSES: [AdapterClass; 4] =
    [AdapterClass::Discrete, AdapterClass::Integrated, AdapterClass::Mobile, AdapterClass::Software];

/// The rules of an adapter, or of all adapters of a vendor and class that have no rules of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The vendor.
    pub vendor: String,
    /// The class.
    pub class: AdapterClass,
    /// The adapter's name; empty for all others.
    pub name: String,
    /// The limits.
    pub rules: Rules,
    /// Mean decrease of the time relative to the estimates, from 0 to 1.
    pub gain: f64,
    /// The files that they come from.
    pub files: Vec<String>,
}

/// Result of reading reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The rules that differ from the estimates.
    pub rules: Vec<Rule>,
    /// For each file its contribution, or the reason for none.
    pub notes: Vec<String>,
}

/// Times of all choices for the same work.
struct Work<'a> {
    timing: &'a Timing,
    times: BTreeMap<&'a str, f64>,
}

/// A file, its report, and the adapter there.
type Entry<'a> = (&'a String, &'a Report, &'a Adapter);

/// Reads rules from reports, given by the names of their files.
pub fn table(reports: &[(String, Report)]) -> Table {
    let mut table = Table::default();
    let mut adapters: BTreeMap<(String, usize), BTreeMap<String, Vec<Entry>>> = BTreeMap::new();
    for (file, report) in reports {
        let refused = |why: &str| format!("{file}: not used: {why}");
        let Some(adapter) = &report.adapter else {
            table.notes.push(refused("no adapter"));
            continue;
        };
        let class = CLASSES.iter().position(|class| class_name(*class) == adapter.class);
        let wrong = report.checks.iter().filter(|check| !check.is_right()).count();
        match class {
            _ if wrong > 0 => table.notes.push(refused(&format!("{wrong} checks are wrong"))),
            _ if report.ended != COMPLETE => table.notes.push(refused(&format!("partial: {}", report.ended))),
            _ if adapter.backend.contains("webgpu") => {
                table.notes.push(refused("from a browser, which does not name adapters to programs"));
            }
            Some(class) if !adapter.vendor.is_empty() => {
                let of = adapters.entry((adapter.vendor.clone(), class)).or_default();
                of.entry(adapter.name.clone()).or_default().push((file, report, adapter));
            }
            _ => table.notes.push(refused("the vendor or class is not known")),
        }
    }
    for ((vendor, class), names) in adapters {
        let class = CLASSES[class];
        // One adapter does not stand for all of its vendor.
        let all: Vec<_> = names.values().flatten().copied().collect();
        let groups = names.iter().map(|(name, reports)| (name.as_str(), reports));
        let groups = groups.chain((names.len() > 1).then_some(("", &all)));
        for (name, reports) in groups {
            let is_cached = reports.iter().any(|(.., adapter)| adapter.cached_workgroup_memory);
            let estimate = estimates(class, is_cached);
            let work: Vec<Work> = reports.iter().flat_map(|(_, report, _)| work(report)).collect();
            let (rules, gain) = fit(&work, estimate);
            let files: Vec<String> = reports.iter().map(|(file, ..)| file.to_string()).collect();
            let of = if name.is_empty() { format!("other {vendor} adapters") } else { name.to_string() };
            let less = format!("{rules:?} would take {:.0} % less time than the built-in rules", 100.0 * gain);
            // Their speed is that of the processor, and CI should run what programs run on other machines.
            let is_software = class == AdapterClass::Software;
            let found = match rules == estimate {
                true => format!("the built-in rules are right for {} kinds of work", work.len()),
                false if is_software => format!("not used: a software adapter; {less}"),
                false => less,
            };
            table.notes.push(format!("{}: {of}: {found}", files.join(", ")));
            if rules != estimate && !is_software {
                let (vendor, name) = (vendor.clone(), name.to_string());
                table.rules.push(Rule { vendor, class, name, rules, gain, files });
            }
        }
    }
    table
}

/// Groups the times of a report by work. Work with one choice decides nothing.
fn work(report: &Report) -> Vec<Work<'_>> {
    let mut all: Vec<Work> = Vec::new();
    for timing in &report.timings {
        let is_low = ["f16", "bf16", "int8"].iter().any(|weights| timing.choice.ends_with(weights));
        if !matches!(timing.kind.as_str(), "forward" | "training" | "product") || is_low || timing.dims.len() != 3 {
            continue;
        }
        let same =
            |w: &&mut Work| (&w.timing.kind, &w.timing.of, &w.timing.dims) == (&timing.kind, &timing.of, &timing.dims);
        match all.iter_mut().find(same) {
            Some(work) => {
                work.times.insert(&timing.choice, timing.times.median);
            }
            None => all.push(Work { timing, times: [(timing.choice.as_str(), timing.times.median)].into() }),
        }
    }
    all.retain(|work| work.times.len() > 1 && work.times.values().all(|time| *time > 0.0));
    all
}

/// Returns what the rules choose for some work, in the words of a report; `None` if they do not decide it.
fn chosen(rules: &Rules, timing: &Timing) -> Option<String> {
    let [a, b, c] = [0, 1, 2].map(|i| timing.dims[i] as usize);
    if timing.kind == "product" {
        let decides = rules.busy > 0 && timing.of == "along" && a >= 64 && b >= 64 && c >= 16;
        return decides.then(|| tiled_variant(rules, [a, b, c]));
    }
    let cell: Cell = timing.of.parse().ok()?;
    let [batch, hidden] = [b, c];
    let plan = Plan::by(rules, [hidden, batch], cell);
    Some(match plan {
        Plan::Steps => plan.to_string(),
        _ if plan.shares_sums(rules, [batch, hidden, 1]) => format!("{plan} split"),
        _ => format!("{plan} plain"),
    })
}

/// Mean logarithm of the time of the chosen over the fastest. A choice that was left out counts as the slowest.
fn cost(work: &[Work], rules: &Rules) -> f64 {
    let one = |work: &Work| {
        let fastest = work.times.values().copied().fold(f64::INFINITY, f64::min);
        let slowest = work.times.values().copied().fold(0.0, f64::max);
        let choice = chosen(rules, work.timing)?;
        Some((work.times.get(choice.as_str()).copied().unwrap_or(slowest) / fastest).ln())
    };
    let costs: Vec<f64> = work.iter().filter_map(one).collect();
    costs.iter().sum::<f64>() / costs.len().max(1) as f64
}

/// Returns the best rules, and the mean decrease of the time relative to the estimates.
fn fit(work: &[Work], estimate: Rules) -> (Rules, f64) {
    let before = cost(work, &estimate);
    let is_hardware = estimate.busy > 0;
    let busy: Vec<u64> = if is_hardware { (4..17).map(|power| 1 << power).collect() } else { vec![0] };
    let (mut best, mut least) = (estimate, before);
    for whole_hidden in [16, 64, 128, 256] {
        for fused_hidden in [16, 64, 128, 256, 512, 1024, usize::MAX] {
            for &busy in &busy {
                for blocks_in_registers in [false, true] {
                    let rules = Rules { whole_hidden, fused_hidden, busy, blocks_in_registers };
                    let cost = cost(work, &rules);
                    if cost < least {
                        (best, least) = (rules, cost);
                    }
                }
            }
        }
    }
    // Limits that gain little return to their estimates.
    for restore in [
        |rules: &mut Rules, estimate: &Rules| rules.whole_hidden = estimate.whole_hidden,
        |rules: &mut Rules, estimate: &Rules| rules.fused_hidden = estimate.fused_hidden,
        |rules: &mut Rules, estimate: &Rules| rules.busy = estimate.busy,
        |rules: &mut Rules, estimate: &Rules| rules.blocks_in_registers = estimate.blocks_in_registers,
    ] {
        let mut rules = best;
        restore(&mut rules, &estimate);
        let cost = cost(work, &rules);
        if cost < least + MARGIN {
            (best, least) = (rules, cost);
        }
    }
    (best, 1.0 - (least - before).exp())
}

impl Table {
    /// Returns the source text of `src/ops/adapters/measured.rs`.
    pub fn to_rust(&self) -> String {
        let mut text =
            "//! Rules read from the reports in `docs/hardware/`. Written by `wgru report rules`, not by hand.\n\n\
                        use super::Measured;\n"
                .to_string();
        if self.rules.is_empty() {
            return text + "\npub(super) const MEASURED: &[Measured] = &[];\n";
        }
        text +=
            "use crate::gpu::AdapterClass;\nuse crate::tuning::Rules;\n\npub(super) const MEASURED: &[Measured] = &[\n";
        for rule in &self.rules {
            let Rules { whole_hidden, fused_hidden, busy, blocks_in_registers } = rule.rules;
            let fused_hidden = match fused_hidden {
                usize::MAX => "usize::MAX".to_string(),
                limit => limit.to_string(),
            };
            let less = 100.0 * rule.gain;
            for file in &rule.files {
                let _ = writeln!(text, "    // {file}");
            }
            let _ = write!(
                text,
                "    // {less:.0} % less time than by the estimates.\n    Measured {{\n        vendor: {:?},\n        class: \
                 AdapterClass::{:?},\n        name: {:?},\n        rules: Rules {{ whole_hidden: {whole_hidden}, \
                 fused_hidden: {fused_hidden}, busy: {busy}, blocks_in_registers: {blocks_in_registers} }},\n    }},\n",
                rule.vendor, rule.class, rule.name
            );
        }
        text + "];\n"
    }
}
