//! The version of the library, when a program is compiled and when it runs.
#![allow(unsafe_code, reason = "exports functions to C")]

use std::ffi::{CStr, c_char};

/// Major version of the header.
pub const WGRU_VERSION_MAJOR: u32 = 0;
/// Minor version of the header. Before version 1, another minor version is another interface.
pub const WGRU_VERSION_MINOR: u32 = 2;
/// Patch version of the header.
pub const WGRU_VERSION_PATCH: u32 = 0;
/// Version of the header as one number: `major · 10000 + minor · 100 + patch`.
pub const WGRU_VERSION_NUMBER: u32 = 200;

const _: () = assert!(
    WGRU_VERSION_NUMBER == WGRU_VERSION_MAJOR * 10_000 + WGRU_VERSION_MINOR * 100 + WGRU_VERSION_PATCH,
    "the version as one number"
);

const TEXT: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(text) => text,
    Err(_) => panic!("a version without zeros"),
};

/// Returns the version of the library that runs, such as `0.2.0`. The text is static: do not free it. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn wgru_version() -> *const c_char {
    TEXT.as_ptr()
}

/// Returns the version of the library that runs as one number, to compare with `WGRU_VERSION_NUMBER`, the version of
/// the header that a program was compiled with. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn wgru_version_number() -> u32 {
    WGRU_VERSION_NUMBER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_version_of_the_crate() {
        let text = format!("{WGRU_VERSION_MAJOR}.{WGRU_VERSION_MINOR}.{WGRU_VERSION_PATCH}");
        assert_eq!(TEXT.to_str(), Ok(&*text));
    }
}
