//! The layers name only those below them: reads the `use` lines and paths.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each layer may name besides itself. The order is the data's way.
const MAY_NAME: [(&str, &[&str]); 12] = [
    ("wire", &[]),
    ("proto", &["wire"]),
    ("registry", &["wire"]),
    ("service", &["wire", "registry"]),
    ("transport", &["wire"]),
    (
        "server",
        &["wire", "proto", "registry", "service", "transport"],
    ),
    ("client", &["wire", "proto", "transport"]),
    ("security", &["wire", "proto"]),
    (
        "host",
        &[
            "wire",
            "proto",
            "registry",
            "service",
            "transport",
            "server",
            "client",
        ],
    ),
    (
        "daemon",
        &[
            "wire",
            "proto",
            "registry",
            "service",
            "transport",
            "server",
            "client",
            "host",
            "security",
        ],
    ),
    ("cli", &["wire", "client", "security"]),
    (
        "fuzzing",
        &["wire", "proto", "registry", "service", "security"],
    ),
];

/// Packages that the core may name.
const CORE_PACKAGES: [&str; 5] = ["std", "nom", "bytes", "uuid", "thiserror"];

/// What the core may not name of `std`: clocks, sockets, files, processes.
const CORE_FORBIDDEN: [&str; 8] = [
    "std::fs",
    "std::process",
    "std::thread",
    "std::env",
    "TcpStream",
    "UdpSocket",
    "Instant::now",
    "SystemTime",
];

fn sources(layer: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.join(layer)];
    while let Some(folder) = folders.pop() {
        for item in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = item.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let module = root.join(format!("{layer}.rs"));
    found.extend(module.exists().then_some(module));
    assert!(!found.is_empty(), "no sources of layer {layer}");
    found
}

/// The file without comments and without its unit tests, which stand last.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default()
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// The layers named after `crate::`, `crate::{...}` lists included.
fn named(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let list = match rest.strip_prefix('{') {
            Some(list) => top_level(list),
            None => vec![rest],
        };
        for item in list {
            let name: String = item
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.insert(name);
        }
    }
    found
}

/// The items of a braced list, split at the commas of its own level.
fn top_level(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut items) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&list[start..at]);
                return items;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

#[test]
fn a_layer_names_only_those_below_it() {
    let layers: Vec<&str> = MAY_NAME.iter().map(|(layer, _)| *layer).collect();
    for (layer, may) in MAY_NAME {
        for path in sources(layer) {
            for name in named(&code(&path)) {
                let allowed = name == layer
                    || may.contains(&name.as_str())
                    || !layers.contains(&name.as_str());
                assert!(allowed, "{}: {layer} names {name}", path.display());
            }
        }
    }
}

#[test]
fn the_core_names_no_clock_socket_file_or_foreign_package() {
    for layer in ["wire", "proto", "registry", "service"] {
        for path in sources(layer) {
            let code = code(&path);
            for forbidden in CORE_FORBIDDEN {
                let found = code.contains(forbidden);
                assert!(!found, "{}: names {forbidden}", path.display());
            }
            for line in code.lines().filter_map(|l| l.trim().strip_prefix("use ")) {
                let root = line.split("::").next().unwrap_or_default();
                let ours =
                    ["crate", "$crate", "super", "self"].contains(&root) || !line.contains("::");
                let local = root.chars().next().is_some_and(char::is_uppercase)
                    || path.parent().is_some_and(|folder| {
                        folder.join(root).exists() || folder.join(format!("{root}.rs")).exists()
                    })
                    || path.with_extension("").join(format!("{root}.rs")).exists();
                assert!(
                    ours || local || CORE_PACKAGES.contains(&root),
                    "{}: names {root}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn every_layer_folder_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for item in fs::read_dir(root).unwrap() {
        let path = item.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "bin" {
            let known = MAY_NAME.iter().any(|(layer, _)| *layer == name);
            assert!(known, "{name} is no layer: add it to the table");
        }
    }
}

#[test]
fn the_reader_of_this_test_sees_nested_lists() {
    let code = "use crate::{wire::{pdu, Input}, proto};\nlet x = crate::server::lock;";
    let found: Vec<_> = named(code).into_iter().collect();
    assert_eq!(found, ["proto", "server", "wire"]);
}
