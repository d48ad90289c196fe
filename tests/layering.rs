//! Imports go down the rank table of a crate, no files import each other in a cycle, and wgpu is named only under
//! `src/gpu/`.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Crates with a rank table: their sources, the file with the table, and a lower bound of their imports.
const CRATES: [(&str, &str, usize); 3] = [
    ("src", "ARCHITECTURE.md", 300),
    ("apps/desktop/src", "apps/desktop/src/main.rs", 60),
    ("apps/plugin/src", "apps/plugin/src/lib.rs", 20),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Rank by top-level module.
fn ranks(table: &str) -> HashMap<String, u32> {
    let text = fs::read_to_string(root().join(table)).expect("a file with a rank table");
    let mut ranks = HashMap::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, rank, modules, ..] = cells[..] else { continue };
        let Ok(rank) = rank.parse::<u32>() else { continue };
        ranks.extend(modules.split_whitespace().map(|m| (m.trim_matches('`').to_string(), rank)));
    }
    ranks
}

/// Path of a module, such as `io::onnx::run`.
type Module = Vec<String>;

/// The files below a folder with this extension, as modules with their contents.
fn sources(folder: &str, extension: &str) -> Vec<(Module, String)> {
    fn collect(folder: &Path, extension: &str, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                collect(&path, extension, out);
            } else if path.extension().is_some_and(|e| e == extension) {
                out.push(path);
            }
        }
    }
    let folder = root().join(folder);
    let mut paths = Vec::new();
    collect(&folder, extension, &mut paths);
    let read = |path: PathBuf| {
        let relative = path.strip_prefix(&folder).expect("below the folder").with_extension("");
        let mut module: Module = relative.iter().map(|part| part.to_string_lossy().to_string()).collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        (module, fs::read_to_string(&path).expect("source"))
    };
    paths.into_iter().map(read).collect()
}

/// The sources of a crate without its root.
fn modules(folder: &str) -> Vec<(Module, String)> {
    sources(folder, "rs").into_iter().filter(|(module, _)| !["lib", "main"].contains(&&*module[0])).collect()
}

/// The code of a file: no comments, no tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every path in source text that starts with `crate` or `super`, with `use` lists expanded.
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
                // `as` introduces a different name.
                let renamed = text
                    .trim_start()
                    .strip_prefix("as ")
                    .map(|rest| rest.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
                return renamed.unwrap_or(text);
            }
        }
    }
}

/// Top-level modules that source text refers to through `crate::`.
fn imports(text: &str) -> Vec<String> {
    let from_crate = paths(text).into_iter().filter(|path| path[0] == "crate" && path.len() > 1);
    from_crate.map(|path| path[1].clone()).collect()
}

#[test]
fn imports_go_down_the_ranks() {
    for (folder, table, least) in CRATES {
        let ranks = ranks(table);
        let mut checked = 0;
        for (module, text) in modules(folder) {
            let (own, shown) = (&module[0], module.join("::"));
            let rank = *ranks.get(own).unwrap_or_else(|| panic!("{own} has no rank in {table}"));
            for import in imports(&text) {
                let other = ranks.get(&import);
                let other = *other
                    .unwrap_or_else(|| panic!("{shown} imports crate::{import}: import it from its module instead"));
                // Rank 0 may use errors.
                let same = rank == other && (*own == import || import == "error");
                assert!(other < rank || same, "{shown} ({rank}) imports {import} ({other})");
                checked += 1;
            }
        }
        assert!(checked >= least, "only {checked} imports were found in {folder}");
    }
}

/// The modules that each module imports. Imports between a module and its own submodules are left out.
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

/// An import cycle, if there is one.
fn cycle(edges: &HashMap<Module, Vec<Module>>) -> Option<Vec<Module>> {
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
fn modules_import_each_other_without_cycles() {
    for (folder, _, least) in CRATES {
        let edges = edges(&modules(folder));
        let count: usize = edges.values().map(Vec::len).sum();
        assert!(count >= least, "only {count} imports were found in {folder}");
        assert_eq!(cycle(&edges), None);
    }
}

/// The files that each TypeScript file imports from its own folder.
fn script_edges(files: Vec<(Module, String)>) -> HashMap<Module, Vec<Module>> {
    let targets = |text: &str| {
        let rests = ["from './", "import './", "import('./"].into_iter().flat_map(|start| text.split(start).skip(1));
        rests.filter_map(|rest| Some(vec![rest.split(['.', '\'']).next()?.to_string()])).collect()
    };
    files.into_iter().map(|(own, text)| (own, targets(&text))).collect()
}

#[test]
fn scripts_import_each_other_without_cycles() {
    let edges = script_edges(sources("web/ts", "ts"));
    let unknown = edges.values().flatten().find(|target| !edges.contains_key(*target));
    assert_eq!(unknown, None, "an import that is not a file of web/ts");
    let count: usize = edges.values().map(Vec::len).sum();
    assert!(count >= 60, "only {count} imports were found");
    assert_eq!(cycle(&edges), None);
}

/// Negative control: a cycle is found.
#[test]
fn a_cycle_is_found() {
    let file = |module: &str, text: &str| (module.split("::").map(String::from).collect(), text.to_string());
    let files = [
        file("io::npy", "use super::{file::TensorFile, zip};"),
        file("io::zip", "use crate::error::Error;"),
        file("io::file", "fn read() { super::format::detect(); }"),
        file("io::format", "use crate::io::npy::{MAGIC, read};"),
    ];
    assert_eq!(cycle(&edges(&files)).map(|found| found.len()), Some(3));
    assert_eq!(cycle(&edges(&files[..3])), None);
    let scripts = [
        file("device", "import './text.js';\nimport {\n  Network,\n} from './network.js';"),
        file("network", "type Device = import('./device.js').Device;"),
        file("text", "import * as glue from '../wasm/glue.js';"),
    ];
    assert_eq!(cycle(&script_edges(scripts.to_vec())).map(|found| found.len()), Some(2));
    assert_eq!(cycle(&script_edges(scripts[1..].to_vec())), None);
}

#[test]
fn wgpu_is_named_only_in_the_gpu_folder() {
    for (module, text) in sources("src", "rs") {
        let allowed = module[0] == "gpu" || module == ["embedding"];
        assert!(!text.contains("wgpu::") || allowed, "{} names wgpu", module.join("::"));
    }
}

#[test]
fn every_module_of_the_crate_has_a_rank() {
    let ranks = ranks("ARCHITECTURE.md");
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
        // Shaders that hold their weights in registers differ from those with shared sums by a part.
        let has_parts = ["_split", "_held"].iter().any(|end| kernel.name.ends_with(end));
        let split = if has_parts { "_split" } else { "" };
        let stem = without(without(kernel.name, &["_split", "_held"]), &["_f16", "_bf16", "_int8"]);
        let stem = match stem.starts_with("recurrent_") {
            true => without(stem, &["_gru", "_gru_reset_before", "_lstm", "_rnn"]),
            false => stem,
        };
        let stem = format!("{stem}{split}");
        assert!(root().join(format!("shaders/{stem}.wgsl")).is_file(), "{}", kernel.name);
    }
}

/// Negative control: an upward import is found, whether it names a module or an item of the crate.
#[test]
fn an_upward_import_is_found() {
    let text = "use crate::{io, nn::{Gru, Lstm}};\nlet x = crate::train::fit(crate::Device::cpu());";
    assert_eq!(imports(text), ["io", "nn", "nn", "train", "Device"]);
}
