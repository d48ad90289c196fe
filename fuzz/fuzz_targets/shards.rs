//! Fuzzes the index of a checkpoint in several files. Two files that it may name are beside it.
#![no_main]

use std::path::PathBuf;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use wgru::io::TensorFile;

/// Returns the path of the index in a folder with the two files.
fn index() -> &'static PathBuf {
    static INDEX: OnceLock<PathBuf> = OnceLock::new();
    INDEX.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("wgru-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        for (shard, name) in [("1.safetensors", "a"), ("2.safetensors", "b")] {
            let mut file = TensorFile::default();
            file.insert(name, &[1], vec![1.0]);
            file.save(folder.join(shard)).expect("saved");
        }
        folder.join("model.safetensors.index.json")
    })
}

fuzz_target!(|bytes: &[u8]| {
    std::fs::write(index(), bytes).expect("written");
    let _ = TensorFile::import(index());
});
