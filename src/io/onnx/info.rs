//! Inputs and outputs of a model.

use std::collections::HashMap;

use super::value::Value;
use crate::error::{Error, Result};

/// An input or output of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Info {
    /// Name of the value.
    pub name: String,
    /// Extents of the value; `None` if the file leaves the number of axes open.
    pub dims: Option<Vec<Extent>>,
    /// Whether the value holds floats; otherwise it holds integers.
    pub float: bool,
}

/// One extent of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A fixed number.
    Fixed(usize),
    /// Any number, but the same for all extents of this name.
    Named(String),
    /// Any number.
    Free,
}

impl Extent {
    /// Creates a named extent.
    pub fn named(name: &str) -> Self {
        Extent::Named(name.into())
    }
}

impl Info {
    /// Checks type and extents of a value. `extents` holds the numbers of the named extents in this run.
    pub(super) fn check<'a>(
        &'a self,
        op: &'static str,
        value: &Value,
        extents: &mut HashMap<&'a str, usize>,
    ) -> Result<()> {
        let float = match value {
            Value::Tensor(tensor) => {
                tensor.check_dtype(op, "inputs", "f32")?;
                true
            }
            Value::Ints(_) => false,
        };
        if float != self.float {
            let name = |float| if float { "floats" } else { "integers" };
            let expected = format!("{} for {:?}", name(self.float), self.name);
            return Err(Error::DType { op, arg: "inputs", expected, got: name(float).into() });
        }
        let Some(dims) = &self.dims else { return Ok(()) };
        let fits = dims.len() == value.dims().len()
            && dims.iter().zip(value.dims()).all(|(want, &got)| match want {
                Extent::Fixed(want) => *want == got,
                Extent::Named(name) => *extents.entry(name).or_insert(got) == got,
                Extent::Free => true,
            });
        if fits {
            return Ok(());
        }
        let text = |e: &Extent| match e {
            Extent::Fixed(n) => n.to_string(),
            Extent::Named(name) => extents.get(name.as_str()).map_or(name.clone(), |n| format!("{name} = {n}")),
            Extent::Free => "any".into(),
        };
        let expected = dims.iter().map(text).collect::<Vec<_>>().join(", ");
        Err(Error::shape(op, "inputs", format!("[{expected}] for {:?}", self.name), value.dims()))
    }
}
