//! Imports go down the rank table of ARCHITECTURE.md, and wgpu is named only under `src/gpu/`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rank by top-level module.
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

/// Returns the top-level module that a file of `src` belongs to.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).expect("below src");
    relative.components().next().expect("a name").as_os_str().to_string_lossy().trim_end_matches(".rs").to_string()
}

/// The code of a file: no comments, no tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path that a text names from `crate` or `super` on, with the lists of `use` written out.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code = code(text);
    let mut out = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && !"_:$".contains(c)) {
                expand(&code[at..], &mut Vec::new(), &mut out);
            }
        }
    }
    out
}

/// Reads one path or one list of paths after `prefix`, and returns the rest of the text.
fn expand<'a>(mut text: &'a str, prefix: &mut Vec<String>, out: &mut Vec<Vec<String>>) -> &'a str {
    let depth = prefix.len();
    loop {
        text = text.trim_start();
        if let Some(list) = text.strip_prefix('{') {
            text = list;
            while !text.starts_with('}') && !text.is_empty() {
                text = expand(text, prefix, out).trim_start();
                text = text.strip_prefix(',').unwrap_or(text).trim_start();
            }
            prefix.truncate(depth);
            return text.strip_prefix('}').unwrap_or(text);
        }
        let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        text = &text[name.len().max(usize::from(text.starts_with('*')))..];
        prefix.push(name);
        match text.strip_prefix("::") {
            Some(rest) if rest.starts_with(|c: char| c.is_alphabetic() || c == '{' || c == '_' || c == '*') => {
                text = rest
            }
            _ => {
                out.push(prefix.clone());
                prefix.truncate(depth);
                // `as` gives another name.
                let renamed = text
                    .trim_start()
                    .strip_prefix("as ")
                    .map(|rest| rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
                return renamed.unwrap_or(text);
            }
        }
    }
}

/// Top modules that a text names by `crate::`.
fn imports(text: &str) -> Vec<String> {
    let from_crate = paths(text).into_iter().filter(|path| path[0] == "crate" && path.len() > 1);
    from_crate.map(|path| path[1].clone()).collect()
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
            let shown = path.display();
            let other = ranks.get(&import);
            let other = *other.unwrap_or_else(|| panic!("{shown} imports crate::{import}: name the module"));
            // Rank 0 may use errors.
            let same = rank == other && (own == import || import == "error");
            assert!(other < rank || same, "{shown}: {own} ({rank}) imports {import} ({other})");
            checked += 1;
        }
    }
    assert!(checked >= 80, "only {checked} imports were found");
}

/// A module by its path below `src`: `io::onnx::run`.
type Module = Vec<String>;

fn module_path(path: &Path) -> Module {
    let relative = path.strip_prefix(root().join("src")).expect("below src").with_extension("");
    let mut parts: Module = relative.iter().map(|part| part.to_string_lossy().to_string()).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    parts
}

/// The modules that each module imports. A module and those inside it count as one house: their edges are left out.
fn edges(files: &[(Module, String)]) -> HashMap<Module, Vec<Module>> {
    let known: Vec<&Module> = files.iter().map(|(module, _)| module).collect();
    let mut out = HashMap::new();
    for (own, text) in files {
        let mut targets = Vec::new();
        for path in paths(text) {
            let supers = path.iter().take_while(|part| *part == "super").count();
            let mut target: Module = match &path[0][..] {
                "crate" => path[1..].to_vec(),
                _ => own[..own.len().saturating_sub(supers)].iter().chain(&path[supers..]).cloned().collect(),
            };
            while !target.is_empty() && !known.contains(&&target) {
                target.pop();
            }
            if !target.is_empty() && !own.starts_with(&target) && !target.starts_with(own) {
                targets.push(target);
            }
        }
        out.insert(own.clone(), targets);
    }
    out
}

/// A circle of imports, if there is one.
fn circle(edges: &HashMap<Module, Vec<Module>>) -> Option<Vec<Module>> {
    fn visit(
        at: &Module,
        edges: &HashMap<Module, Vec<Module>>,
        way: &mut Vec<Module>,
        done: &mut Vec<Module>,
    ) -> Option<Vec<Module>> {
        if let Some(start) = way.iter().position(|module| module == at) {
            return Some(way[start..].to_vec());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at.clone());
        let found = edges.get(at).into_iter().flatten().find_map(|next| visit(next, edges, way, done));
        way.pop();
        done.push(at.clone());
        found
    }
    let mut done = Vec::new();
    edges.keys().find_map(|module| visit(module, edges, &mut Vec::new(), &mut done))
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let files: Vec<(Module, String)> = sources(&root().join("src"))
        .into_iter()
        .filter(|path| !path.ends_with("src/lib.rs"))
        .map(|path| (module_path(&path), fs::read_to_string(&path).expect("source")))
        .collect();
    let edges = edges(&files);
    let count: usize = edges.values().map(Vec::len).sum();
    assert!(count >= 300, "only {count} imports were found");
    assert_eq!(circle(&edges), None);
}

/// The check can fail.
#[test]
fn a_circle_is_seen() {
    let file = |module: &str, text: &str| (module.split("::").map(String::from).collect(), text.to_string());
    let files = [
        file("io::npy", "use super::{file::TensorFile, zip};"),
        file("io::zip", "use crate::error::Error;"),
        file("io::file", "fn read() { super::format::detect(); }"),
        file("io::format", "use crate::io::npy::{MAGIC, read};"),
    ];
    assert_eq!(circle(&edges(&files)).map(|found| found.len()), Some(3));
    assert_eq!(circle(&edges(&files[..3])), None);
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
        // All formats of packed weights, and all cells, share one stem.
        let without =
            |name: &'static str, ends: &[&str]| ends.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let stem = without(kernel.name, &["_f16", "_bf16", "_int8"]);
        let stem = match stem.starts_with("recurrent_") {
            true => without(stem, &["_gru", "_gru_reset_before", "_lstm", "_rnn"]),
            false => stem,
        };
        assert!(root().join(format!("shaders/{stem}.wgsl")).is_file(), "{}", kernel.name);
    }
}

/// The check can fail: an import upwards is seen, whether it names a module or an item of the crate.
#[test]
fn an_import_upwards_is_seen() {
    let text = "use crate::{io, nn::{Gru, Lstm}};\nlet x = crate::train::fit(crate::Device::cpu());";
    assert_eq!(imports(text), ["io", "nn", "nn", "train", "Device"]);
}
