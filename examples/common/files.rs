//! Reading and writing files whole.

use std::path::Path;

use wgru::io::{TensorFile, write_atomically};
use wgru::{Error, Result, Tensor};

/// Reads a text file.
///
/// # Errors
/// Names the file, and the first line that is not UTF-8. An empty file is an error, too.
pub fn read_text(path: &Path) -> super::Result<String> {
    let name = path.display();
    let bytes = std::fs::read(path).map_err(|error| format!("{name}: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        format!("{name}: line {}: not UTF-8; convert the file, for example with iconv", line_of(valid))
    })?;
    // Some editors begin a file with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').map(String::from).unwrap_or(text);
    if text.trim().is_empty() {
        return Err(format!("{name}: the file is empty").into());
    }
    Ok(text)
}

/// Returns the number of the line that follows `before`, counted from 1.
fn line_of(before: &[u8]) -> usize {
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// Writes a file whole, and first creates its folder.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    make_folder(path)?;
    write_atomically(path, bytes)
}

/// Creates the folder of a file.
///
/// # Errors
/// [`Error::Io`].
pub fn make_folder(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.into(), source })
}

/// Returns a hash of some bytes, to tell files apart (FNV-1a).
pub fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Returns an error about a file's content.
pub fn refuse(what: &str, why: impl ToString) -> Error {
    Error::Format { what: what.into(), why: why.to_string() }
}

/// Returns a text of a file's metadata.
///
/// # Errors
/// [`Error::Format`] if it is missing.
pub fn metadata<'a>(file: &'a TensorFile, key: &str) -> Result<&'a str> {
    let found = file.metadata.get(key).map(String::as_str);
    found.ok_or_else(|| refuse(key, "missing: the file is not a model of this example"))
}

/// Returns a size from a file's metadata.
///
/// # Errors
/// [`Error::Format`] if it is missing, or not a number of at least 1.
pub fn size(file: &TensorFile, key: &str) -> Result<usize> {
    match metadata(file, key)?.parse() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err(refuse(key, "expected a number, at least 1")),
    }
}

/// Returns a value in JSON from a file's metadata.
///
/// # Errors
/// [`Error::Format`] if it is missing or cannot be read.
pub fn json(file: &TensorFile, key: &str) -> Result<serde_json::Value> {
    serde_json::from_str(metadata(file, key)?).map_err(|error| refuse(key, error))
}

/// Returns a list of texts from a file's metadata.
///
/// # Errors
/// [`Error::Format`] if it is missing or something else.
pub fn texts(file: &TensorFile, key: &str) -> Result<Vec<String>> {
    let value = json(file, key)?;
    let list = value.as_array().and_then(|list| list.iter().map(|v| v.as_str().map(String::from)).collect());
    list.ok_or_else(|| refuse(key, "expected a list of texts"))
}

/// Sets the parameters of a new model from a file.
///
/// # Errors
/// [`Error::Format`] naming a tensor that is missing, does not match, or holds a number that is not finite.
pub fn load(parameters: &[(String, Tensor)], file: &TensorFile) -> Result<()> {
    for (name, tensor) in parameters {
        let values = file.expect(name, tensor.dims())?;
        if values.iter().any(|value| !value.is_finite()) {
            return Err(refuse(&format!("tensor {name:?}"), "holds a number that is not finite"));
        }
        tensor.assign(values)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_text_files_are_refused_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a text.txt");
        for (bytes, why) in [(&b""[..], "empty"), (b" \n\n", "empty"), (b"one\ntwo\nth\xffee\n", "line 3: not UTF-8")] {
            std::fs::write(&path, bytes).unwrap();
            let error = read_text(&path).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("a text.txt"), "{error}");
        }
        std::fs::write(&path, "\u{feff}text").unwrap();
        assert_eq!(read_text(&path).unwrap(), "text");
        assert!(read_text(folder.path()).is_err());
    }

    #[test]
    fn fingerprints_are_those_of_fnv() {
        // Test vectors of the authors: http://www.isthe.com/chongo/tech/comp/fnv/
        assert_eq!((fingerprint(b""), fingerprint(b"foobar")), (0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8));
    }
}
