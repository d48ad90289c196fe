//! Recognizes files by their first bytes, for error messages that say what a file is and what to do with it.

use super::signature::{HDF5, NPY, TORCH_LEGACY, is_safetensors};
use crate::error::Error;
use crate::kernel::IS_LEAN;

/// An offset, the bytes expected there, and the kind of file that they identify.
type Signature = (usize, &'static [u8], &'static str);

/// Kinds that [`TensorFile`](super::TensorFile) reads. A reader of one kind may be given another.
const READ: [Signature; 6] = [
    (0, NPY, "a NumPy array: TensorFile::from_npy reads it"),
    (0, HDF5, "an HDF5 file: TensorFile::from_keras reads those written by Keras"),
    (0, TORCH_LEGACY, "a file written by torch.save: TensorFile::from_pt reads it"),
    (0, b"PK\x03\x04", "a zip archive: TensorFile::from_bytes reads those written by NumPy, PyTorch and Keras"),
    (0, b"PK\x05\x06", "a zip archive without members"),
    (0, b"PK\x07\x08", "one part of a split zip archive"),
];

const TFLITE: &str = "a TensorFlow Lite model: convert it to ONNX with `pip install tf2onnx` and `python -m \
                      tf2onnx.convert --tflite model.tflite --output model.onnx`, and load it with OnnxModel";
const FROZEN: &str = "a frozen TensorFlow graph: convert it to ONNX with `pip install tf2onnx` and `python -m \
                      tf2onnx.convert --graphdef model.pb --inputs NAME:0 --outputs NAME:0 --output model.onnx`, and \
                      load it with OnnxModel";
const SAVED: &str = "a TensorFlow SavedModel: convert its folder to ONNX with `pip install tf2onnx` and `python -m \
                     tf2onnx.convert --saved-model FOLDER --output model.onnx`, and load it with OnnxModel";

/// Kinds that this crate does not read, and kinds that only [`TensorFile::import`](super::TensorFile::import) reads.
const FOREIGN: [Signature; 33] = [
    (0, b"rnnoise-nu model", "a model of RNNoise: TensorFile::import reads it"),
    (0, b"DNNw", "weights of RNNoise: TensorFile::import reads them"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself: run `git lfs pull`"),
    (0, b"\x1f\x8b", "compressed with gzip: decompress it first"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with Zstandard: decompress it first"),
    (0, b"BZh", "compressed with bzip2: decompress it first"),
    (0, b"\xfd7zXZ\0", "compressed with xz: decompress it first"),
    (0, b"\x04\x22\x4d\x18", "compressed with LZ4: decompress it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"),
    (0, b"Rar!", "a RAR archive: unpack it first"),
    (0, b"sys_info\0", "a tar archive written by an early torch.save: TensorFile::import reads it"),
    (257, b"ustar", "a tar archive: unpack it first"),
    (4, b"TFL3", TFLITE),
    (4, b"ORTM", "a model in ONNX Runtime's own format: use the .onnx file it was made from"),
    (0, b"GGUF", "a GGUF file: convert its tensors to safetensors"),
    (0, b"lmgg", "a GGML file: convert its tensors to safetensors"),
    (0, b"tjgg", "a GGML file: convert its tensors to safetensors"),
    (0, b"MATLAB 5.0", "a MATLAB file: save its arrays with numpy.savez"),
    (0, b"PAR1", "a Parquet table, not a model"),
    (0, b"ARROW1", "an Arrow table, not a model"),
    (0, b"SQLite format 3\0", "an SQLite database, not a model"),
    (0, b"\x89PNG", "a PNG image, not a model"),
    (0, b"\xff\xd8\xff", "a JPEG image, not a model"),
    (0, b"GIF8", "a GIF image, not a model"),
    (8, b"WEBP", "a WebP image, not a model"),
    (8, b"WAVE", "a WAV recording, not a model"),
    (0, b"OggS", "an Ogg recording, not a model"),
    (0, b"fLaC", "a FLAC recording, not a model"),
    (0, b"ID3", "an MP3 recording, not a model"),
    (0, b"%PDF", "a PDF document, not a model"),
    (0, b"\x7fELF", "an executable, not a model"),
    (0, b"MZ", "an executable, not a model"),
    (0, b"\0asm", "a WebAssembly module, not a model"),
];

/// Whether readers name other kinds of files. A page that only runs recurrent layers gives its module nothing but
/// safetensors files: the package converts others in a module without GPU.
const NAMES_KINDS: bool = !(IS_LEAN && cfg!(feature = "gpu"));

/// Describes a known kind of file and what to do with it, as a phrase that follows "it is". Readers use it in errors
/// when they are given a different kind of file.
pub(crate) fn recognize(bytes: &[u8]) -> Option<&'static str> {
    let has = |(at, sign, _): &&Signature| bytes.get(*at..).is_some_and(|rest| rest.starts_with(sign));
    if bytes.is_empty() {
        return Some("empty: the download or the copy did not finish, or the path is wrong");
    }
    if is_safetensors(bytes) {
        return Some("a safetensors file: TensorFile::from_safetensors reads it");
    }
    if bytes.ends_with(b"\x57\xfb\x80\x8b\x24\x75\x47\xdb") {
        return Some(
            "the index of a TensorFlow checkpoint: load it in TensorFlow, and save it with model.save_weights",
        );
    }
    let found = READ.iter().chain(&FOREIGN).find(has).map(|&(.., kind)| kind);
    found.or_else(|| protobuf(bytes)).or_else(|| pickled(bytes)).or_else(|| text(bytes)).or_else(|| binary(bytes))
}

/// Returns the error of a reader that `expected` another kind of file.
pub(super) fn foreign(source: &str, bytes: &[u8], expected: &str) -> Error {
    match if NAMES_KINDS { recognize(bytes) } else { None } {
        Some(kind) => Error::format(source, format!("not {expected}: it is {kind}")),
        None => {
            let start = &bytes[..bytes.len().min(8)];
            let why = format!("not {expected}: it starts with {start:02x?}, which matches no known kind of file");
            Error::format(source, why)
        }
    }
}

/// Recognizes protocol buffers by their first fields, because they have no signature.
fn protobuf(bytes: &[u8]) -> Option<&'static str> {
    match *bytes {
        // The version of the format, then a description, which begins with a list of inputs.
        [0x08, 2..=0x10, 0x12, _, 0x0a, ..] | [0x08, 2..=0x10, 0x12, _, _, 0x0a, ..] => {
            Some("a Core ML model: export the network to ONNX instead, and load it with io::onnx::OnnxModel")
        }
        // The version of the format, then the name of the producer, a graph, an operator set or a model's version.
        [0x08, 3..=0x20, 0x12 | 0x1a | 0x22 | 0x28 | 0x32 | 0x3a | 0x42, ..] => {
            Some("an ONNX model: io::onnx::OnnxModel::load reads it, and io::onnx::initializers reads its weights")
        }
        // The version of the format, then a graph with its description.
        [0x08, 1, 0x12, ..] => Some(SAVED),
        // A node with its name, then its operator.
        [0x0a, _, ref rest @ ..] => {
            let rest = rest.strip_prefix(b"\x0a").or_else(|| rest.get(1..)?.strip_prefix(b"\x0a"))?;
            let (&len, name) = rest.split_first()?;
            let operator = name.get(usize::from(len)..)?.strip_prefix(b"\x12")?;
            let is_name = |name: &[u8]| !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
            let (&long, operator) = operator.split_first()?;
            (is_name(&name[..usize::from(len)]) && is_name(operator.get(..usize::from(long))?)).then_some(FROZEN)
        }
        _ => None,
    }
}

fn pickled(bytes: &[u8]) -> Option<&'static str> {
    let binary = matches!(*bytes, [0x80, 2..=5, ..]) && bytes.last() == Some(&b'.');
    let old = [&b"(dp"[..], b"(lp", b"ccopy_reg\n", b"ccollections\n"].iter().any(|start| bytes.starts_with(start));
    let advice = "a Python pickle: TensorFile::import reads its tensors and arrays";
    (binary || old).then_some(advice)
}

/// Recognizes text of any kind. The examined part may end in the middle of a character.
fn text(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(1024)];
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&start[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if text.chars().any(|c| c.is_control() && !c.is_ascii_whitespace()) {
        return None;
    }
    let text = text.trim_start();
    let starts = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    Some(match text.as_bytes().first() {
        None => "blank: it contains only whitespace",
        Some(b'<') if ["<!doctype html", "<html", "<head", "<body"].into_iter().any(starts) => {
            "an HTML page, not the file: the address is wrong, or the server returned an error page"
        }
        Some(b'<') => "XML: a server's error message, or a model in an unsupported format",
        Some(b'{') if text.contains("\"wgru_tuning\"") => "a tuning: Tuning::load reads it",
        Some(b'{') if text.contains("\"weight_map\"") => "an index of several files: TensorFile::import reads them all",
        Some(b'{') => "JSON: TensorFile::import reads models of RTNeural, AIDA-X, GuitarML and NAM, and state dicts",
        Some(b'[') => "a JSON list: save the weights as safetensors, or with numpy.savez",
        _ => "text, not a model",
    })
}

fn binary(bytes: &[u8]) -> Option<&'static str> {
    let start = &bytes[..bytes.len().min(512)];
    if start.iter().all(|&b| b == 0) {
        return Some("all zeros at its start: the download or the copy did not finish");
    }
    // A map of at most 15 entries, or one with an explicit length, whose first key is a string.
    let key = match *bytes {
        [0x81..=0x8f, ref key @ ..] | [0xde, _, _, ref key @ ..] | [0xdf, _, _, _, _, ref key @ ..] => key,
        _ => return None,
    };
    let key = match *key {
        [len @ 0xa1..=0xbf, ref key @ ..] => key.get(..usize::from(len & 31)),
        [0xd9, len, ref key @ ..] => key.get(..usize::from(len)),
        _ => None,
    };
    key?.iter()
        .all(u8::is_ascii_graphic)
        .then_some("MessagePack, as Flax and Burn write: save the weights as safetensors")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_recognized_by_their_first_bytes_with_advice() {
        let tar = [&[b'n'; 100][..], &[0; 157], b"ustar\0"].concat();
        let graph = b"\x0a\x20\x0a\x05input\x12\x0bPlaceholder*\x0b\x0a\x05dtype";
        let cases: &[(&[u8], &str)] = &[
            (b"", "empty"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git lfs pull"),
            (b"<!DOCTYPE html>\n<html lang=\"en\">", "HTML"),
            (b"\xef\xbb\xbf \n<HTML>", "HTML"),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code>", "XML"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\x28\xb5\x2f\xfd\0", "Zstandard"),
            (&tar, "tar"),
            (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
            (graph, "frozen TensorFlow graph"),
            (b"\x08\x01\x12\x40\x0a", "SavedModel"),
            (b"\x08\x08\x12\x07pytorch", "OnnxModel::load"),
            (b"\x08\x09\x3a\xff\x0b", "OnnxModel::load"),
            (b" {\"weights\": [1.0]}", "JSON"),
            (b"{\"wgru_tuning\": 1}", "Tuning::load"),
            (b"\x80\x04\x95\x05\0\0\0\0\0\0\0}\x94.", "pickle"),
            (b"(dp0\nS'a'\np1\n", "pickle"),
            (b"GGUF\x03\0\0\0", "GGUF"),
            (b"\x82\xa4item\x93", "MessagePack"),
            (b"\x89PNG\r\n\x1a\n", "PNG"),
            (b"a,b\n1,2\n", "text"),
            (&[0; 4096], "zeros"),
            (b"\x93NUMPY\x01\0", "from_npy"),
            (b"\x89HDF\r\n\x1a\n", "from_keras"),
            (b"\x02\0\0\0\0\0\0\0{}", "from_safetensors"),
            (b"PK\x03\x04", "zip"),
        ];
        for (bytes, word) in cases {
            let kind = recognize(bytes).unwrap_or("nothing");
            assert!(kind.contains(word), "{word}: {kind}");
        }
        assert_eq!(recognize(b"\x01\x02\x03\x04\xfe\xff\0\x05"), None);
        // Text whose examined part ends in the middle of a character.
        let long = format!("{}é", "x".repeat(1023));
        assert_eq!(recognize(long.as_bytes()), Some("text, not a model"));
    }
}
