#[path = "../../tests/common/mod.rs"]
mod common;
#[path = "../../tests/layers/rules.rs"]
mod rules;
