//! What lies in a directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Files and what is in them; directories with nothing.
#[expect(clippy::disallowed_methods, reason = "it looks at what a node has left")]
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let content = if path.is_dir() { Vec::new() } else { std::fs::read(&path).unwrap() };
            if path.is_dir() {
                open.push(path.clone());
            }
            found.insert(path, content);
        }
    }
    found
}
