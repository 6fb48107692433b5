//! The house rules, as a test: who may not know whom, what stands at the top, how long a file may be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules that decide: no world, no tasks, no files, no ambient time.
const PURE: &[&str] = &["partition", "quorum", "controller"];

/// What a pure module must not name.
const IMPURE: &[&str] = &[
    "crate::env::",
    "crate::env;",
    "crate::log",
    "crate::node",
    "crate::broker",
    "tokio",
    "madsim",
    "std::fs",
    "std::net",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "async fn",
    ".await",
];

/// Pure files beside others that are not: the client's cores beside their drivers.
const PURE_FILES: &[&str] = &[
    "src/broker/fetch_sessions.rs",
    "src/client/backoff.rs",
    "src/client/config.rs",
    "src/client/consumer/core.rs",
    "src/client/consumer/fetched.rs",
    "src/client/consumer/session.rs",
    "src/client/metadata.rs",
    "src/client/partitioner.rs",
    "src/client/producer/batch.rs",
    "src/client/producer/core.rs",
    "src/client/producer/lane.rs",
    "src/client/producer/mod.rs",
    "src/client/producer/outcome.rs",
    "src/client/producer/topic.rs",
    "src/client/versions.rs",
];

const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".deny.toml",
    ".gitignore",
    ".rustfmt.toml",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "Justfile",
    "LICENSE",
    "README.md",
    "benches",
    "deploy",
    "examples",
    "scenarios",
    "sim",
    "src",
    "tests",
];

const LINES_MAX: usize = 800;
const COLUMNS_MAX: usize = 120;

#[test]
fn pure_modules_name_nothing_of_the_world() {
    let files = sources();
    for name in PURE_FILES {
        assert!(files.iter().any(|file| file.path == *name), "{name} is gone: take it off the list");
    }
    for file in files {
        let pure =
            PURE.iter().any(|room| in_room(&file.path, room)) || PURE_FILES.contains(&file.path.as_str());
        if !pure {
            continue;
        }
        for (number, line) in code(&file) {
            for word in IMPURE {
                let purpose_only = *word == "crate::env::" && line.contains("crate::env::Rng");
                assert!(
                    purpose_only || !line.contains(word),
                    "{}:{number}: a pure module names `{word}`: {line}",
                    file.path
                );
            }
        }
    }
}

#[test]
fn the_map_shows_every_room() {
    let map = read("src/lib.rs");
    let rooms: Vec<&str> =
        map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(rooms.len() > 10, "{rooms:?}");
    for room in rooms {
        let named = |line: &str| line.starts_with("//! | [") && line.contains(&format!("[`{room}`]"));
        assert!(map.lines().any(named), "the table of rooms in src/lib.rs lacks {room}");
    }
}

#[test]
fn the_log_knows_no_leadership() {
    for file in sources().into_iter().filter(|file| in_room(&file.path, "log")) {
        for (number, line) in code(&file) {
            for word in ["crate::partition", "crate::node", "crate::broker", "crate::controller", "tokio::"] {
                assert!(!line.contains(word), "{}:{number}: log names `{word}`", file.path);
            }
        }
    }
}

#[test]
fn the_wire_knows_no_broker() {
    for file in sources().into_iter().filter(|file| in_room(&file.path, "wire")) {
        for (number, line) in code(&file) {
            for word in
                ["crate::partition", "crate::node", "crate::broker", "crate::log", "crate::env", "tokio"]
            {
                assert!(!line.contains(word), "{}:{number}: wire names `{word}`", file.path);
            }
        }
    }
}

#[test]
fn the_real_world_is_named_only_where_the_binary_starts() {
    for file in sources() {
        if file.path.starts_with("src/env/tokio") || file.path == "src/main.rs" {
            continue;
        }
        for (number, line) in code(&file) {
            assert!(!line.contains("TokioEnv"), "{}:{number} names the real environment", file.path);
            if !in_room(&file.path, "cli") {
                for word in ["tokio::spawn", "tokio::time", "tokio::net", "tokio::fs", "tokio::runtime"] {
                    assert!(!line.contains(word), "{}:{number}: `{word}` belongs into env/tokio", file.path);
                }
            }
        }
    }
}

#[test]
fn the_library_never_speaks_of_its_simulator() {
    for file in sources() {
        for (number, line) in file.text.lines().enumerate() {
            let words = line.to_lowercase();
            for word in ["madsim", "buggify"] {
                assert!(!words.contains(word), "{}:{}: says `{word}`", file.path, number + 1);
            }
            let sim = words.split(|c: char| !c.is_alphanumeric()).any(|word| word == "sim");
            assert!(!sim, "{}:{}: says `sim`", file.path, number + 1);
        }
    }
}

#[test]
fn the_top_level_holds_only_what_the_design_lists() {
    let tracked = std::process::Command::new("git").args(["ls-files"]).current_dir(root()).output();
    let names: Vec<String> = match tracked {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
        }
        _ => return, // Not a git checkout: a source archive holds only what was tracked.
    };
    assert!(!names.is_empty(), "git lists no file");
    for name in names {
        let top = name.split('/').next().unwrap_or_default();
        assert!(TOP_LEVEL.contains(&top), "{name} does not belong at the top level");
        assert!(!name.starts_with("ottla-data"), "{name}: data is committed");
    }
}

#[test]
fn files_and_lines_stay_readable() {
    for file in sources().into_iter().chain(simulator()) {
        let lines = file.text.lines().count();
        assert!(lines <= LINES_MAX, "{} has {lines} lines: split it by role", file.path);
        for (number, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            assert!(columns <= COLUMNS_MAX, "{}:{} is {columns} columns wide", file.path, number + 1);
        }
    }
}

#[test]
fn nothing_is_left_half_done() {
    let banned = [
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[ig", "nore]"),
        concat!("FIX", "ME"),
    ];
    for file in sources().into_iter().chain(simulator()).chain(rust_files("tests")) {
        for word in banned {
            assert!(!file.text.contains(word), "{} contains `{word}`", file.path);
        }
    }
}

#[test]
fn every_test_file_asserts_something() {
    for file in rust_files("tests") {
        if !file.text.contains("#[test]") {
            continue;
        }
        let asserts =
            ["assert", "expect(", "prop_assert", "check("].iter().any(|word| file.text.contains(word));
        assert!(asserts, "{} asserts nothing", file.path);
    }
}

/// The packages that the design asks for by name are direct dependencies, and code names each.
#[test]
fn the_eight_packages_are_in_real_use() {
    let manifests = [read("Cargo.toml"), read("sim/Cargo.toml")].concat();
    let code: String = sources()
        .into_iter()
        .chain(simulator())
        .chain(rust_files("tests"))
        .filter(|file| file.path != "tests/tidy.rs")
        .map(|file| file.text)
        .collect();
    for package in ["madsim", "tokio", "bytes", "crc32c", "rand_chacha", "serde", "bincode", "insta"] {
        let declared = manifests.lines().any(|line| line.starts_with(&format!("{package} = ")));
        assert!(declared, "{package} is not a direct dependency");
        let used = code.contains(&format!("{package}::"));
        assert!(used, "{package} is declared but not used");
    }
}

struct Source {
    path: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[expect(clippy::disallowed_methods, reason = "a test that reads the sources")]
fn read(path: &str) -> String {
    String::from_utf8(std::fs::read(root().join(path)).expect(path)).expect("sources are UTF-8")
}

fn sources() -> Vec<Source> {
    rust_files("src")
}

fn simulator() -> Vec<Source> {
    rust_files("sim/src")
}

fn rust_files(directory: &str) -> Vec<Source> {
    let mut found = BTreeMap::new();
    collect(&root().join(directory), &mut found);
    assert!(!found.is_empty(), "no sources under {directory}");
    found.into_iter().map(|(path, text)| Source { path, text }).collect()
}

fn collect(directory: &Path, into: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name =
                path.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
            let text = read(&name);
            into.insert(name, text);
        }
    }
}

fn in_room(path: &str, room: &str) -> bool {
    path.starts_with(&format!("src/{room}/")) || path == format!("src/{room}.rs")
}

/// The lines of a file that are code, up to its unit tests: comments may speak of anything.
fn code(file: &Source) -> impl Iterator<Item = (usize, &str)> {
    let is_test =
        file.path.ends_with("/tests.rs") || file.path.contains("/tests/") || file.path.contains("/test_");
    let text = if is_test { "" } else { file.text.as_str() };
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}
