//! Parameters of a model made of other modules.

use super::Module;
use crate::tensor::Tensor;

/// Returns the parameters of all `parts`, each named `<part>.<parameter>`.
pub fn named_parameters(parts: &[(&str, &dyn Module)]) -> Vec<(String, Tensor)> {
    let named = |&(prefix, module): &(&str, &dyn Module)| {
        let parameters = module.parameters().into_iter();
        parameters.map(move |(name, tensor)| (format!("{prefix}.{name}"), tensor)).collect::<Vec<_>>()
    };
    parts.iter().flat_map(named).collect()
}

/// Implements [`Module::parameters`](crate::nn::Module::parameters) of a model from those of its fields. See
/// [`Module`](crate::nn::Module) for an example.
#[macro_export]
macro_rules! parts {
    ($($field:ident),+ $(,)?) => {
        fn parameters(&self) -> ::std::vec::Vec<(::std::string::String, $crate::Tensor)> {
            $crate::nn::named_parameters(&[$((stringify!($field), &self.$field as &dyn $crate::nn::Module)),+])
        }
    };
}
