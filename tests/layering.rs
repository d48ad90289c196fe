//! Imports go down the rank table of ARCHITECTURE.md, and wgpu is named only under `src/gpu/`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rank by top module.
fn ranks() -> HashMap<String, u32> {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut ranks = HashMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, rank, modules, ..] = cells[..] else { continue };
        let Ok(rank) = rank.parse::<u32>() else { continue };
        ranks.extend(modules.split_whitespace().map(|m| (m.trim_matches('`').to_string(), rank)));
    }
    ranks
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in fs::read_dir(folder).expect("src") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            out.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out
}

/// The top module that a file of `src` belongs to.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).expect("below src");
    relative.components().next().expect("a name").as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

/// Top modules that a text names by `crate::`, outside comments and tests.
fn imports(text: &str) -> Vec<String> {
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code.lines().filter(|l| !l.trim_start().starts_with("//"));
    let mut out = Vec::new();
    for line in lines {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => list.split(['{', '}']).next().unwrap_or_default().split(',').collect(),
                None => vec![rest],
            };
            let first = |n: &str| n.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
            out.extend(names.into_iter().map(first));
        }
    }
    out
}

#[test]
fn imports_go_down_the_ranks() {
    let ranks = ranks();
    assert!(ranks.len() >= 14, "the rank table was not read: {ranks:?}");
    let mut checked = 0;
    for path in sources(&root().join("src")) {
        let own = module(&path);
        if own == "lib" {
            continue;
        }
        let rank = *ranks.get(&own).unwrap_or_else(|| panic!("{own} has no rank in ARCHITECTURE.md"));
        for import in imports(&fs::read_to_string(&path).expect("source")) {
            let Some(&other) = ranks.get(&import) else { continue };
            // Device and tensor are two halves of one rank; errors are everybody's.
            let same = rank == other && (own == import || rank == 4 || import == "error");
            assert!(other < rank || same, "{}: {own} ({rank}) imports {import} ({other})", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 80, "only {checked} imports were found");
}

#[test]
fn wgpu_is_named_only_in_the_gpu_folder() {
    for path in sources(&root().join("src")) {
        let named = fs::read_to_string(&path).expect("source").contains("wgpu::");
        let allowed = module(&path) == "gpu" || path.ends_with("src/embedding.rs");
        assert!(!named || allowed, "{} names wgpu", path.display());
    }
}

#[test]
fn every_module_of_the_crate_has_a_rank() {
    let ranks = ranks();
    let text = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    for line in text.lines() {
        let name = line.trim_start_matches("pub ").strip_prefix("mod ").map(|m| m.trim_end_matches(';'));
        if let Some(name) = name {
            assert!(ranks.contains_key(name), "{name} has no rank");
        }
    }
}

#[test]
fn every_kernel_is_found_by_its_stem() {
    for kernel in wgru::kernels::all() {
        // One stem reads packed weights of every format.
        let format = ["_f16", "_bf16", "_int8"].into_iter().find_map(|format| kernel.name.strip_suffix(format));
        let stem = format.unwrap_or(kernel.name);
        assert!(root().join(format!("shaders/{stem}.wgsl")).is_file(), "{}", kernel.name);
    }
}

/// The check can fail: an import upwards is seen.
#[test]
fn an_import_upwards_is_seen() {
    assert_eq!(imports("use crate::{io, nn::Gru};\nlet x = crate::train::fit();"), ["io", "nn", "train"]);
}
