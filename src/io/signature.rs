//! First bytes of the supported formats.

/// NumPy's `.npy`.
pub(super) const NPY: &[u8] = b"\x93NUMPY";
/// HDF5, used for Keras' `.weights.h5`.
pub(super) const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";
/// Files that `torch.save` wrote before it used zip archives.
pub(super) const TORCH_LEGACY: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";

/// Maximum length of a safetensors header in bytes, as the format defines it.
pub(super) const SAFETENSORS_LONGEST: usize = 100_000_000;

/// Whether a file starts like a safetensors file: with a plausible length, then a JSON object.
pub(super) fn is_safetensors(bytes: &[u8]) -> bool {
    match bytes.split_first_chunk() {
        Some((len, [b'{', ..])) => u64::from_le_bytes(*len) <= SAFETENSORS_LONGEST as u64,
        _ => false,
    }
}
