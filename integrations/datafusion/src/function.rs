//! The SQL functions.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::array::Array as _;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{ScalarValue, exec_err, internal_err};
use datafusion::error::Result as QueryResult;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::Error;
use crate::models::Models;
use crate::series::{self, Series};
use crate::task::{Named, Task};

/// A SQL function of a model and a series.
#[derive(Debug)]
pub struct Function {
    task: Task,
    models: Models,
    signature: Signature,
}

/// Returns `gru_forecast`, `gru_score` and `gru_classify` with these models, for registries of functions.
pub fn functions(models: &Models) -> Vec<Arc<ScalarUDF>> {
    let function = |task| Arc::new(ScalarUDF::from(Function::new(task, models.clone())));
    Task::ALL.map(function).to_vec()
}

impl Function {
    fn new(task: Task, models: Models) -> Self {
        // A file may change between queries, so a call is not immutable.
        Self { task, models, signature: Signature::user_defined(Volatility::Stable) }
    }

    fn error(&self, argument: &'static str, expected: &str, got: impl Into<String>, help: &str) -> Error {
        let (function, expected) = (self.task.name(), expected.into());
        Error::Argument { function, argument, expected, got: got.into(), help: help.into() }
    }

    fn not_a_name(&self, got: impl Into<String>) -> Error {
        let help = "to use several models, run a query for each, and combine them with UNION ALL";
        self.error("model", "the name of one model, a string literal", got, help)
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.task.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> QueryResult<DataType> {
        Ok(self.task.result())
    }

    fn coerce_types(&self, types: &[DataType]) -> QueryResult<Vec<DataType>> {
        let [model, series] = types else {
            let got = format!("{} arguments", types.len());
            let help = format!("call it as {}('model', series)", self.task.name());
            return Err(self.error("arguments", "a model and a series", got, &help).into());
        };
        if !model.is_string() && !model.is_null() {
            return Err(self.not_a_name(model.to_string()).into());
        }
        let coerced = series::coerced(series).ok_or_else(|| {
            let help = "collect values with array_agg(x ORDER BY t), or array_agg(x) OVER (…) for sliding windows";
            self.error("series", "a list of numbers, or a list of lists of numbers", series.to_string(), help)
        })?;
        Ok(vec![DataType::Utf8, coerced])
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> QueryResult<FieldRef> {
        // The model is unknown in prepared statements.
        if let (false, [Some(name), _], [_, series]) = (self.models.is_remote(), args.scalar_arguments, args.arg_fields)
            && let Some(Some(name)) = name.try_as_str()
        {
            let function = self.task.name();
            let model = &*self.models.get(function, name)?;
            series::check_width(function, series.data_type(), model.input)?;
            if let Some(output) = model.known_output() {
                self.task.check(&Named { function, name, model }, output)?;
            }
        }
        Ok(Arc::new(Field::new(self.name(), self.task.result(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> QueryResult<ColumnarValue> {
        let [model, column] = &args.args[..] else {
            return internal_err!("{}: {} arguments after coercion", self.name(), args.args.len());
        };
        let name = match model {
            ColumnarValue::Scalar(name) => name.try_as_str(),
            ColumnarValue::Array(_) => return Err(self.not_a_name("a column").into()),
        };
        let name = match name {
            Some(Some(name)) => name,
            Some(None) => return Ok(ColumnarValue::Scalar(ScalarValue::try_from(self.task.result())?)),
            None => return exec_err!("{}: model: expected a string", self.name()),
        };
        let (is_scalar, column) = match column {
            ColumnarValue::Array(array) => (false, array.clone()),
            ColumnarValue::Scalar(one) => (true, one.to_array()?),
        };
        let function = self.task.name();
        let model = self.models.get(function, name)?;
        let series = Series::new(function, &*column, model.input)?;
        let result = self.task.run(&Named { function, name, model: &model }, &series)?;
        if is_scalar {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&*result, 0)?));
        }
        debug_assert_eq!(result.len(), column.len());
        Ok(ColumnarValue::Array(result))
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        self.task == other.task && self.models == other.models
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.task.hash(state);
    }
}
