//! Modules of the library's tests that the reference needs.

#[path = "../../tests/common/recurrent.rs"]
pub mod recurrent;
