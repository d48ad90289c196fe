//! The values in the body of a loop, as expressions of one step x of a sequence and of a state h.

use std::rc::Rc;

use super::arrays::Array;
use crate::math::Activation;

/// `x·W + h·U + (g ⊙ h)·V + b`, with any of the parts.
#[derive(Clone, Default)]
pub struct Linear {
    pub x: Option<Array>,
    pub h: Option<Array>,
    /// The gate g, and V.
    pub reset: Option<(Rc<Gate>, Array)>,
    pub bias: Option<Vec<f32>>,
    pub columns: usize,
}

/// `f(of)`, or `f(of + g ⊙ other)`.
pub struct Gate {
    pub function: Activation,
    pub of: Rc<Linear>,
    /// The gate g, and the other sum.
    pub reset: Option<(Rc<Gate>, Rc<Linear>)>,
}

/// The limit of a counter.
#[derive(Clone, Copy)]
pub enum Bound {
    /// An outer value.
    Outer(usize),
    Known(i64),
}

/// A value. Gates are compared by identity.
#[derive(Clone)]
pub enum Symbol {
    /// One step of the sequence.
    Input,
    State,
    /// The number of the iteration, and one more.
    Counter,
    Next,
    /// An outer value: an input of the node, or a value that the body captures.
    Outer(usize),
    /// An outer value of another type, which can only be a limit of a counter.
    Limit(usize),
    Constant(Array),
    Ints(Vec<i64>),
    /// Whether the next number is below each of these bounds.
    Below(Vec<Bound>),
    Linear(Rc<Linear>),
    /// `min(max(alpha · sum + beta, 0), 1)` with one or none of the bounds.
    Line {
        of: Rc<Linear>,
        alpha: f32,
        beta: f32,
        low: bool,
        high: bool,
    },
    Gate(Rc<Gate>),
    /// `1 − g`
    Rest(Rc<Gate>),
    /// `g ⊙ h`
    Kept(Rc<Gate>),
    /// `g ⊙ sum`
    Scaled(Rc<Gate>, Rc<Linear>),
    /// `sum + g ⊙ other`
    Candidate(Rc<Linear>, Rc<Gate>, Rc<Linear>),
    /// `(1 − z) ⊙ n`
    Fresh(Rc<Gate>, Rc<Gate>),
    /// `h − n`
    Difference(Rc<Gate>),
    /// `z ⊙ (h − n)`
    Blend(Rc<Gate>, Rc<Gate>),
    /// `z ⊙ h + (1 − z) ⊙ n`
    Step(Rc<Gate>, Rc<Gate>),
    Other,
}

impl Linear {
    /// Returns some of the columns.
    pub fn part(&self, start: usize, end: usize) -> Option<Self> {
        let of = |matrix: &Option<Array>| match matrix {
            Some(matrix) => matrix.part(1, start, end).map(Some),
            None => Some(None),
        };
        let reset = match &self.reset {
            Some((gate, matrix)) => Some((gate.clone(), matrix.part(1, start, end)?)),
            None => None,
        };
        let bias = match &self.bias {
            Some(bias) => Some(bias.get(start..end)?.to_vec()),
            None => None,
        };
        Some(Self { x: of(&self.x)?, h: of(&self.h)?, reset, bias, columns: end.checked_sub(start)? })
    }

    /// Returns the sum of two expressions that do not multiply the same value.
    pub fn add(&self, other: &Self) -> Option<Self> {
        let is_twice = self.x.is_some() && other.x.is_some()
            || self.h.is_some() && other.h.is_some()
            || self.reset.is_some() && other.reset.is_some();
        if is_twice || self.columns != other.columns {
            return None;
        }
        let bias = match (&self.bias, &other.bias) {
            (Some(a), Some(b)) => Some(a.iter().zip(b).map(|(a, b)| a + b).collect()),
            (a, b) => a.clone().or_else(|| b.clone()),
        };
        let (x, h) = (self.x.clone().or_else(|| other.x.clone()), self.h.clone().or_else(|| other.h.clone()));
        let reset = self.reset.clone().or_else(|| other.reset.clone());
        Some(Self { x, h, reset, bias, columns: self.columns })
    }

    fn plus(&self, bias: &[f32]) -> Option<Self> {
        let other = Self { bias: Some(bias.to_vec()), columns: bias.len(), ..Self::default() };
        self.add(&other)
    }
}

impl Symbol {
    /// Returns the value as a bound of a counter.
    pub fn bound(&self) -> Option<Bound> {
        match self {
            Symbol::Outer(place) | Symbol::Limit(place) => Some(Bound::Outer(*place)),
            Symbol::Ints(values) if values.len() == 1 => Some(Bound::Known(values[0])),
            Symbol::Constant(c) => {
                c.single().filter(|v| v.fract() == 0.0 && v.abs() < 16_777_216.0).map(|v| Bound::Known(v as i64))
            }
            _ => None,
        }
    }
}

/// Returns the gate of a function of a sum.
pub fn gate(function: Activation, of: &Symbol) -> Option<Symbol> {
    let (of, reset) = match of {
        Symbol::Linear(of) => (of.clone(), None),
        Symbol::Candidate(of, gate, other) => (of.clone(), Some((gate.clone(), other.clone()))),
        _ => return None,
    };
    Some(Symbol::Gate(Rc::new(Gate { function, of, reset })))
}

/// Returns `value · matrix`.
pub fn product(value: &Symbol, matrix: &Array) -> Option<Symbol> {
    let [_, columns] = matrix.matrix()?;
    let (matrix, mut out) = (matrix.clone(), Linear { columns, ..Linear::default() });
    match value {
        Symbol::Input => out.x = Some(matrix),
        Symbol::State => out.h = Some(matrix),
        Symbol::Kept(gate) => out.reset = Some((gate.clone(), matrix)),
        _ => return None,
    }
    Some(Symbol::Linear(Rc::new(out)))
}

/// Returns `a + b` for an order of the two that has a meaning.
pub fn sum(a: &Symbol, b: &Symbol) -> Option<Symbol> {
    use Symbol::*;
    Some(match (a, b) {
        (Counter, Ints(one)) if one[..] == [1] => Next,
        (Linear(a), Linear(b)) => Linear(Rc::new(a.add(b)?)),
        (Linear(of), Constant(c)) if c.scalar().is_some() => {
            Line { of: of.clone(), alpha: 1.0, beta: c.scalar()?, low: false, high: false }
        }
        (Linear(of), Constant(bias)) => Linear(Rc::new(of.plus(bias.row()?)?)),
        (Line { of, alpha, beta, low: false, high: false }, Constant(c)) => {
            Line { of: of.clone(), alpha: *alpha, beta: beta + c.scalar()?, low: false, high: false }
        }
        (Linear(of), Scaled(gate, other)) => Candidate(of.clone(), gate.clone(), other.clone()),
        (Kept(z), Fresh(other, n)) if Rc::ptr_eq(z, other) => Step(z.clone(), n.clone()),
        (Gate(n), Blend(z, other)) if Rc::ptr_eq(n, other) => Step(z.clone(), n.clone()),
        _ => return None,
    })
}

/// Returns `a − b`.
pub fn difference(a: &Symbol, b: &Symbol) -> Option<Symbol> {
    match (a, b) {
        (Symbol::Constant(one), Symbol::Gate(gate)) if one.values[..] == [1.0] => Some(Symbol::Rest(gate.clone())),
        (Symbol::State, Symbol::Gate(n)) => Some(Symbol::Difference(n.clone())),
        _ => None,
    }
}

/// Returns `a ⊙ b` for an order of the two that has a meaning.
pub fn scaled(a: &Symbol, b: &Symbol) -> Option<Symbol> {
    use Symbol::*;
    Some(match (a, b) {
        (Gate(gate), State) => Kept(gate.clone()),
        (Gate(gate), Linear(of)) => Scaled(gate.clone(), of.clone()),
        (Rest(z), Gate(n)) => Fresh(z.clone(), n.clone()),
        (Gate(z), Difference(n)) => Blend(z.clone(), n.clone()),
        (Linear(of), Constant(c)) => Line { of: of.clone(), alpha: c.scalar()?, beta: 0.0, low: false, high: false },
        _ => return None,
    })
}

/// Returns a line after another bound: at least 0 if `is_low`, or at most 1.
pub fn bounded(line: &Symbol, bound: f32, is_low: bool) -> Option<Symbol> {
    let Symbol::Line { of, alpha, beta, low, high } = line else { return None };
    if bound != if is_low { 0.0 } else { 1.0 } {
        return None;
    }
    let (low, high) = (*low || is_low, *high || !is_low);
    if low && high {
        return gate(Activation::HardSigmoid { alpha: *alpha, beta: *beta }, &Symbol::Linear(of.clone()));
    }
    Some(Symbol::Line { of: of.clone(), alpha: *alpha, beta: *beta, low, high })
}
