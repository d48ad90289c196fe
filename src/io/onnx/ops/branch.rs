//! `If`.

use super::control::{Control, captured};
use super::{Args, Builder, Op, Operator};
use crate::error::{Error, Result};
use crate::io::onnx::loader::Loaded;
use crate::io::onnx::run::{Body, Run};
use crate::io::onnx::value::Value;

pub const TABLE: &[Operator] = &[Operator::new("If", 1..=1, build).outputs(usize::MAX)];

/// Runs one of its bodies: the first if the condition is not 0, otherwise the second. If the condition is known at
/// load, there is only one.
struct Branches(Vec<Body>);

impl Control for Branches {
    fn run(&self, args: &Args, run: &mut Run) -> Result<Vec<Value>> {
        let body = match &self.0[..] {
            [then, otherwise] => match args.ints(0)? {
                [0] => otherwise,
                [_] => then,
                other => return Err(Error::value("onnx", "cond", "one boolean", format!("{} of them", other.len()))),
            },
            [taken, ..] => taken,
            [] => return Err(Error::value("onnx", "If", "a branch", "none")),
        };
        body.run(captured(args, 1), run)
    }

    fn branches(&self) -> &[Body] {
        &self.0
    }
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
            None => Op::Control(Box::new(Branches(vec![loaded.body]))),
        });
    }
    let [then, otherwise] = [b.subgraph(BRANCHES[0], &captures)?, b.subgraph(BRANCHES[1], &captures)?];
    check(b, &then)?;
    check(b, &otherwise)?;
    let read: Vec<bool> = then.read.iter().zip(&otherwise.read).map(|(a, b)| *a || *b).collect();
    b.drop_captures(&read);
    Ok(Op::Control(Box::new(Branches(vec![then.body, otherwise.body]))))
}
