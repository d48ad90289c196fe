//! The fastest choices measured on an adapter, which can be saved as text, loaded, and looked up.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::json;

/// Implements `Display` and `FromStr` for an enum, using names for its values.
macro_rules! names {
    ($type:ident { $($value:ident: $name:literal),+ }) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($type::$value => $name),+ })
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self> {
                match name {
                    $($name => Ok($type::$value),)+
                    _ => Err(Error::value(stringify!($type), "name", [$($name),+].join(", "), name)),
                }
            }
        }
    };
}

/// Shader of a matrix product on a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Registers only.
    Plain,
    /// Tiles in workgroup memory.
    Tiled,
    /// Tiles in workgroup memory, by vectors, with more rows and columns.
    TiledBlocks,
    /// Registers only, by vectors.
    Blocks,
    /// For few rows: the sum over `k` is split within a workgroup.
    Rows,
    /// Registers, with more rows and columns, for software adapters.
    Wide,
    /// Registers, with values exchanged within a subgroup of eight lanes, for software adapters.
    Subgroup,
    /// `Subgroup` with twice the rows.
    Tall,
    /// `Subgroup` for operands across `k`, as in weight gradients.
    Outer,
}
names!(Variant {
    Plain: "plain",
    Tiled: "tiled",
    TiledBlocks: "tiled-blocks",
    Blocks: "blocks",
    Rows: "rows",
    Wide: "wide",
    Subgroup: "subgroup",
    Tall: "tall",
    Outer: "outer"
});

/// How the steps of a recurrent layer are run. Results differ only by rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One dispatch loops over all steps, or over as many as the loop limit allows. On a GPU, for small layers; on
    /// the CPU, this is the packed SIMD path. For every cell without options.
    Whole,
    /// One dispatch per step, or two if the reset gate of a GRU acts before the product, in one compute pass. For every
    /// cell without options.
    Chain,
    /// A product and two kernels per step. For every cell and every option.
    Steps,
}

/// Layout of the operands of a product: both contiguous along `k` or both across it, in whole vectors; or any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layout {
    Along,
    Across,
    Mixed,
}
names!(Layout { Along: "along", Across: "across", Mixed: "mixed" });

/// A decision that tuning makes, for all sizes that round up to these powers of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    /// `m`, `n`, `k`; whether the sum over `k` may be split.
    Product { sizes: [u32; 3], layout: Layout, splits: bool },
    /// A cell without options, its units and sequences; whether only the fused plans can run it.
    Plan { cell: Cell, sizes: [u32; 2], fused: bool },
}

/// The outcome of a decision: the shader and the number of parts of the sum, or the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Product(Variant, u32),
    Plan(Plan),
}

/// Rounds a size up to a power of two.
pub(crate) fn class(size: u32) -> u32 {
    size.checked_next_power_of_two().unwrap_or(1 << 31)
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Question::Product { sizes: [m, n, k], layout, splits } => {
                write!(f, "product {m} {n} {k} {layout} {}", if *splits { "split" } else { "whole" })
            }
            Question::Plan { cell, sizes: [hidden, batch], fused } => {
                write!(f, "{cell} {hidden} {batch} {}", if *fused { "fused" } else { "any" })
            }
        }
    }
}

impl FromStr for Question {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::format("tuning", format!("{text:?} does not name a product or a cell"));
        let size = |word: &str| word.parse().ok().filter(|&n: &u32| n.is_power_of_two()).ok_or_else(bad);
        let flag = |word: &str, [no, yes]: [&str; 2]| match word {
            _ if word == no => Ok(false),
            _ if word == yes => Ok(true),
            _ => Err(bad()),
        };
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["product", m, n, k, layout, splits] => Ok(Question::Product {
                sizes: [size(m)?, size(n)?, size(k)?],
                layout: layout.parse()?,
                splits: flag(splits, ["whole", "split"])?,
            }),
            [cell, hidden, batch, fused] => Ok(Question::Plan {
                cell: cell.parse()?,
                sizes: [size(hidden)?, size(batch)?],
                fused: flag(fused, ["any", "fused"])?,
            }),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Product(variant, splits) => write!(f, "{variant} {splits}"),
            Answer::Plan(plan) => plan.fmt(f),
        }
    }
}

impl FromStr for Answer {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((variant, splits)) = text.split_once(' ') else { return Ok(Answer::Plan(text.parse()?)) };
        let splits = splits.parse().map_err(|_| Error::format("tuning", format!("{text:?} is not a known choice")))?;
        Ok(Answer::Product(variant.parse()?, splits))
    }
}

/// Returns the entries of a JSON object. Any other value, or a duplicate key, is an error.
fn entries(value: &str) -> Result<Vec<(String, &str)>> {
    let bad = |why: &str| Error::format("tuning", why);
    if !value.starts_with('{') {
        return Err(bad("expected an object"));
    }
    let entries = json::entries(value).collect::<Result<Vec<_>, _>>().map_err(|why| bad(&why))?;
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(bad(&format!("{:?} appears twice", pair[0]))),
        None => Ok(entries),
    }
}

type Choices = BTreeMap<Question, Answer>;

/// The fastest plans and matrix products by adapter and driver: measured by [`Device::tune`](crate::Device::tune), and
/// set by [`GpuOptions::tuning`](crate::GpuOptions::tuning). Built-in rules make all other choices.
///
/// A tuning may hold the choices for many adapters; a device uses those for its own. Results may differ in the last
/// bits between tunings, but are the same for the same tuning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    adapters: BTreeMap<String, Choices>,
}

impl Tuning {
    /// Maximum length of the JSON text in bytes.
    pub(crate) const MAX_LEN: usize = 1 << 20;

    /// Returns the number of choices, for all adapters.
    pub fn len(&self) -> usize {
        self.adapters.values().map(BTreeMap::len).sum()
    }

    /// Whether there are no choices.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds the choices of `other`, which take precedence.
    pub fn merge(&mut self, other: Tuning) {
        for (adapter, choices) in other.adapters {
            self.adapters.entry(adapter).or_default().extend(choices);
        }
    }

    /// Returns the choices as readable JSON, by adapter.
    pub fn to_json(&self) -> String {
        let words = |choices: &Choices| -> BTreeMap<_, _> {
            choices.iter().map(|(question, answer)| (question.to_string(), answer.to_string())).collect()
        };
        let adapters: BTreeMap<_, _> = self.adapters.iter().map(|(name, choices)| (name, words(choices))).collect();
        format!("{:#}\n", serde_json::json!({ "wgru_tuning": 1, "adapters": adapters }))
    }

    /// Parses text returned by [`to_json`](Self::to_json).
    ///
    /// # Errors
    /// [`Error::Format`] for any other text; [`Error::Value`] for unknown names.
    pub fn from_json(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::format("tuning", why);
        if text.len() > Self::MAX_LEN {
            return Err(bad("has more than 1 MiB"));
        }
        let parts = entries(json::object(text.as_bytes()).map_err(|why| bad(&format!("is {why}")))?)?;
        let part = |name: &str| parts.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
        if part("wgru_tuning") != Some("1") {
            return Err(bad("is not a tuning of version 1"));
        }
        let mut all = Self::default();
        for (adapter, words) in entries(part("adapters").ok_or_else(|| bad("has no adapters"))?)? {
            let mut choices = Choices::new();
            for (question, answer) in entries(words)? {
                let answer: Answer = json::text(answer).ok_or_else(|| bad("has a choice that is not text"))?.parse()?;
                let question = question.parse()?;
                if matches!(question, Question::Plan { .. }) != matches!(answer, Answer::Plan(_)) {
                    return Err(bad("has a choice of the wrong kind"));
                }
                if choices.insert(question, answer).is_some() {
                    return Err(bad(&format!("{question} appears twice")));
                }
            }
            all.adapters.insert(adapter, choices);
        }
        Ok(all)
    }

    pub(crate) fn of(adapter: String, choices: Choices) -> Self {
        Self { adapters: [(adapter, choices)].into() }
    }

    pub(crate) fn choices(&self, adapter: &str) -> Choices {
        self.adapters.get(adapter).cloned().unwrap_or_default()
    }
}

/// Limits by which the built-in rules choose plans and shaders on an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Largest hidden size for which the whole plan is faster than the chain.
    pub whole_hidden: usize,
    /// Largest hidden size for which the fused plans are faster than the plan by steps.
    pub fused_hidden: usize,
    /// Number of invocations that hide each other's waits for memory; 0 unless the adapter is a hardware GPU.
    pub busy: u64,
    /// Whether products by blocks keep their operands in registers, instead of workgroup memory.
    pub blocks_in_registers: bool,
}

impl Rules {
    /// The rules of the CPU.
    pub(crate) const CPU: Self =
        Self { whole_hidden: usize::MAX, fused_hidden: usize::MAX, busy: 0, blocks_in_registers: false };
}

/// The choices in use on a device and, while it is tuned, the requested decisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tuned {
    pub choices: Choices,
    /// Without duplicates, in the order in which they were asked.
    pub asked: Option<Vec<Question>>,
}

impl Tuned {
    pub fn answer(&mut self, question: Question) -> Option<Answer> {
        if let Some(asked) = &mut self.asked
            && !asked.contains(&question)
        {
            asked.push(question);
        }
        self.choices.get(&question).copied()
    }
}
