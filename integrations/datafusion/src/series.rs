//! Series in columns of lists.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray as _};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float32Type};

use crate::block;
use crate::error::{Error, Result};

/// The series of a column of lists, or of lists of lists. Borrows the values of the column.
pub struct Series<'a> {
    values: &'a [f32],
    /// Values of each row; `None` if the row is null or contains a null.
    rows: Vec<Option<Range<usize>>>,
    /// Features of a step.
    width: usize,
}

/// Returns the type that a column of series is cast to, or `None` if it has no series: the same lists with values of 32
/// bits.
pub fn coerced(series: &DataType) -> Option<DataType> {
    match series {
        DataType::Null => Some(DataType::List(Arc::new(Field::new_list_field(DataType::Float32, true)))),
        _ => coerced_lists(series, 2),
    }
}

fn coerced_lists(series: &DataType, most_levels: usize) -> Option<DataType> {
    let item = |field: &FieldRef| -> Option<FieldRef> {
        let inner = match field.data_type() {
            own if own.is_numeric() || own.is_null() => DataType::Float32,
            own if most_levels > 1 => coerced_lists(own, most_levels - 1)?,
            _ => return None,
        };
        if inner == *field.data_type() {
            return Some(field.clone());
        }
        Some(Arc::new(Field::new(field.name(), inner, true)))
    };
    match series {
        DataType::List(field) | DataType::ListView(field) => Some(DataType::List(item(field)?)),
        DataType::LargeList(field) | DataType::LargeListView(field) => Some(DataType::LargeList(item(field)?)),
        DataType::FixedSizeList(field, n) => Some(DataType::FixedSizeList(item(field)?, *n)),
        _ => None,
    }
}

/// Checks that series of this type have steps of `width` features, as far as the type tells.
pub fn check_width(function: &'static str, series: &DataType, width: usize) -> Result<()> {
    let item = |list: &DataType| match list {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            Some(field.data_type().clone())
        }
        _ => None,
    };
    match item(series) {
        Some(step @ DataType::FixedSizeList(_, n)) if n as usize != width => {
            Err(wrong_width(function, width, format!("steps of type {step}")))
        }
        Some(DataType::Float32) if width != 1 => Err(wrong_width(function, width, format!("{series}"))),
        _ => Ok(()),
    }
}

fn wrong_width(function: &'static str, width: usize, got: String) -> Error {
    let (expected, help) = match width {
        1 => ("a list of numbers".into(), "give the model one feature per step".into()),
        _ => (
            format!("a list of lists of {width} numbers, the features of the model"),
            "combine columns with make_array(a, b, …) for each step".into(),
        ),
    };
    Error::Argument { function, argument: "series", expected, got, help }
}

/// Where the elements of each list are.
enum Lists<'a> {
    Small(&'a [i32]),
    Large(&'a [i64]),
    Fixed(usize),
}

impl<'a> Lists<'a> {
    /// Returns the lists of an array with their elements, or `None` if it has no lists.
    fn of(array: &'a dyn Array) -> Option<(Self, &'a ArrayRef)> {
        match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                Some((Self::Small(lists.value_offsets()), lists.values()))
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                Some((Self::Large(lists.value_offsets()), lists.values()))
            }
            DataType::FixedSizeList(_, n) => Some((Self::Fixed(*n as usize), array.as_fixed_size_list().values())),
            _ => None,
        }
    }

    /// Returns the elements of consecutive lists.
    fn elements(&self, lists: Range<usize>) -> Range<usize> {
        match self {
            Self::Small(offsets) => offsets[lists.start] as usize..offsets[lists.end] as usize,
            Self::Large(offsets) => offsets[lists.start] as usize..offsets[lists.end] as usize,
            Self::Fixed(n) => lists.start * n..lists.end * n,
        }
    }
}

/// Whether one of these elements is null.
fn has_null(array: &dyn Array, elements: &Range<usize>) -> bool {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    nulls.is_some_and(|nulls| nulls.slice(elements.start, elements.len()).null_count() > 0)
}

impl<'a> Series<'a> {
    /// Finds the series of a column of a [`coerced`] type. Each of their steps has `width` features.
    ///
    /// # Errors
    /// [`Error::Argument`] for a step with another number of features.
    pub fn new(function: &'static str, column: &'a dyn Array, width: usize) -> Result<Self> {
        let other_type = || {
            let help = "cast the column to a list of numbers".into();
            let (expected, got) = ("a list of 32-bit floats".into(), column.data_type().to_string());
            Error::Argument { function, argument: "series", expected, got, help }
        };
        let (series, items) = Lists::of(column).ok_or_else(other_type)?;
        let steps = Lists::of(&**items);
        let leaf = steps.as_ref().map_or(items, |(_, leaf)| *leaf);
        let leaf = leaf.as_primitive_opt::<Float32Type>().ok_or_else(other_type)?;
        let row = |row: usize| -> Result<Option<Range<usize>>> {
            let own = series.elements(row..row + 1);
            if column.is_null(row) || has_null(items, &own) {
                return Ok(None);
            }
            let values = match &steps {
                None if width == 1 => own,
                None => return Err(wrong_width(function, width, "a list of numbers".into())),
                Some((steps, _)) => {
                    let lens = own.clone().map(|step| steps.elements(step..step + 1).len());
                    if let Some((step, len)) = lens.enumerate().find(|(_, len)| *len != width) {
                        return Err(wrong_width(function, width, format!("{len} in step {} of a series", step + 1)));
                    }
                    steps.elements(own)
                }
            };
            Ok((!has_null(leaf, &values)).then_some(values))
        };
        let rows = (0..column.len()).map(row).collect::<Result<_>>()?;
        Ok(Self { values: leaf.values(), rows, width })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether each row has a series without a null.
    pub fn valid(&self) -> Vec<bool> {
        self.rows.iter().map(Option::is_some).collect()
    }

    /// Returns the values of the series in a row, or `None` for a null.
    pub fn get(&self, row: usize) -> Option<&'a [f32]> {
        self.rows[row].clone().map(|range| &self.values[range])
    }

    /// Returns the steps of the first series.
    pub fn first_steps(&self) -> Option<usize> {
        self.rows.iter().flatten().next().map(|range| range.len() / self.width)
    }

    /// Calls `run` for blocks of series of equal length, without their last `skipped` steps: with the rows of the block,
    /// its values `[n, steps, width]`, and `n`, a multiple of [`block::GROUP`] that is at least the number of rows.
    ///
    /// # Errors
    /// [`Error::Argument`] for a series of fewer than `least` steps; errors of `run`.
    pub fn blocks(
        &self,
        function: &'static str,
        least: usize,
        skipped: usize,
        mut run: impl FnMut(&[usize], &[f32], usize) -> Result<()>,
    ) -> Result<()> {
        let mut lengths: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (row, range) in self.rows.iter().enumerate() {
            if let Some(range) = range {
                lengths.entry(range.len()).or_default().push(row);
            }
        }
        if let Some(steps) = lengths.keys().next().map(|len| len / self.width).filter(|steps| *steps < least) {
            let (expected, got) = (format!("at least {least} steps"), format!("a series of {steps}"));
            let help = format!("add WHERE cardinality(series) >= {least}");
            return Err(Error::Argument { function, argument: "series", expected, got, help });
        }
        let mut scratch = Vec::new();
        for (len, rows) in lengths {
            let used = len - skipped * self.width;
            for rows in rows.chunks(block::rows(used / self.width)) {
                let count = rows.len().next_multiple_of(block::GROUP);
                let start = |row: usize| self.rows[row].as_ref().map_or(0, |range| range.start);
                let first = start(rows[0]);
                let is_packed = count == rows.len() && (0..count).all(|k| start(rows[k]) == first + k * used);
                let x = if is_packed {
                    &self.values[first..first + count * used]
                } else {
                    scratch.clear();
                    // Copies of the last row fill the block.
                    let last = rows[rows.len() - 1];
                    for &row in rows.iter().chain(std::iter::repeat_n(&last, count - rows.len())) {
                        scratch.extend_from_slice(&self.values[start(row)..start(row) + used]);
                    }
                    &scratch
                };
                run(rows, x, count)?;
            }
        }
        Ok(())
    }
}
