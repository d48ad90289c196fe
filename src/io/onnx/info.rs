//! Inputs and outputs of a model.

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
    /// Any number. Exporters use a name also for extents that differ, so that equal names are no promise.
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
    /// Checks type and extents of a value.
    pub(super) fn check(&self, op: &'static str, value: &Value) -> Result<()> {
        if let Some(tensor) = value.on_device() {
            tensor.check_dtype(op, "inputs", "f32")?;
        }
        // Without elements, floats are on the host.
        if value.is_float() != self.float && value.count() > 0 {
            let name = |float| if float { "floats" } else { "integers" };
            let expected = format!("{} for {:?}", name(self.float), self.name);
            return Err(Error::DType { op, arg: "inputs", expected, got: name(value.is_float()).into() });
        }
        let Some(dims) = &self.dims else { return Ok(()) };
        let fits = |(want, &got): (&Extent, &usize)| if let Extent::Fixed(want) = want { *want == got } else { true };
        if dims.len() == value.dims().len() && dims.iter().zip(value.dims()).all(fits) {
            return Ok(());
        }
        let text = |e: &Extent| match e {
            Extent::Fixed(n) => n.to_string(),
            Extent::Named(name) => name.clone(),
            Extent::Free => "any".into(),
        };
        let expected = dims.iter().map(text).collect::<Vec<_>>().join(", ");
        Err(Error::shape(op, "inputs", format!("[{expected}] for {:?}", self.name), value.dims()))
    }
}
