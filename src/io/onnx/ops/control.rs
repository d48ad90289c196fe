//! `If`, and what nodes with subgraphs share.

use super::loops::{Loop, Scan};
use super::{Args, Builder, Op, Operator};
use crate::error::{Error, Result};
use crate::io::onnx::loader::Loaded;
use crate::io::onnx::meter::Cost;
use crate::io::onnx::run::{Body, Run};
use crate::io::onnx::value::Value;

pub const TABLE: &[Operator] = &[Operator::new("If", 1..=1, build).outputs(usize::MAX)];

/// A node with subgraphs. A subgraph reads values of outer graphs, which follow the node's own inputs.
pub enum Control {
    /// Runs the first body if the condition is not 0, otherwise the second.
    If([Body; 2]),
    /// An `If` whose condition is known at load.
    Taken(Body),
    Loop(Loop),
    Scan(Scan),
}

impl Control {
    /// Subgraphs that run at most once in a run of the node, so that a stream can carry the states in them.
    pub fn branches(&self) -> impl Iterator<Item = &Body> {
        let bodies: &[Body] = match self {
            Control::If(bodies) => bodies,
            Control::Taken(body) => std::slice::from_ref(body),
            Control::Loop(_) | Control::Scan(_) => &[],
        };
        bodies.iter()
    }

    pub fn run(&self, args: &Args, run: &mut Run) -> Result<Vec<Value>> {
        let body = match self {
            Control::Taken(body) => body,
            Control::If([then, otherwise]) => match args.ints(0)? {
                [0] => otherwise,
                [_] => then,
                other => return Err(Error::value("onnx", "cond", "one boolean", format!("{} of them", other.len()))),
            },
            Control::Loop(looped) => return looped.run(args, run),
            Control::Scan(scan) => return scan.run(args, run),
        };
        body.run(captured(args, 1), run)
    }
}

/// Returns the values of outer graphs, which follow the node's `own` inputs.
pub fn captured<'a>(args: &'a Args, own: usize) -> impl Iterator<Item = Option<Value>> + use<'a> {
    args.inputs[own..].iter().map(|value| value.cloned())
}

/// Cost of running a body once, besides that of its nodes.
pub fn overhead(body: &Body) -> Cost {
    const NODE: u64 = 1 << 10;
    Cost { bytes: 0, work: NODE * (body.steps.len() as u64 + 4) }
}

fn build(b: &mut Builder) -> Result<Op> {
    const BRANCHES: [&str; 2] = ["then_branch", "else_branch"];
    let captures = b.node.captures(0)?;
    let outputs = b.node.outputs;
    let check = |b: &Builder, loaded: &Loaded| match loaded.body.outputs.len() == outputs {
        true => Ok(()),
        false => Err(b.refuse(format!("a branch with {} outputs, not {outputs}", loaded.body.outputs.len()))),
    };
    if let Some(Value::Ints(condition)) = b.constant(0)
        && let &[condition] = condition.values()
    {
        let taken = (condition == 0) as usize;
        b.absorbed.push(0);
        // The other branch may hold nodes that are not supported.
        b.value(BRANCHES[1 - taken]);
        let loaded = b.subgraph(BRANCHES[taken], &captures)?;
        check(b, &loaded)?;
        b.drop_captures(&loaded.read);
        let known: Option<Box<[Value]>> = loaded.known.into_iter().collect();
        return Ok(match known {
            Some(known) => Op::Known(known),
            None => Op::Control(Box::new(Control::Taken(loaded.body))),
        });
    }
    let [then, otherwise] = [b.subgraph(BRANCHES[0], &captures)?, b.subgraph(BRANCHES[1], &captures)?];
    check(b, &then)?;
    check(b, &otherwise)?;
    let read: Vec<bool> = then.read.iter().zip(&otherwise.read).map(|(a, b)| *a || *b).collect();
    b.drop_captures(&read);
    Ok(Op::Control(Box::new(Control::If([then.body, otherwise.body]))))
}
