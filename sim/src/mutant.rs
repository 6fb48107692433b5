//! Mutants: bugs that are planted on purpose, each of which some scenario has to catch.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

/// A bug, as an exchange of one piece of text in one file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mutant {
    /// The name; also the file's.
    pub name: String,
    /// What the mistake is, in one sentence.
    pub claim: String,
    /// Where such a bug is known from.
    pub bug: String,
    /// The file under `src/`, from the workspace's root.
    pub file: PathBuf,
    /// What stands there exactly once.
    pub find: String,
    /// What stands there instead.
    pub replace: String,
    /// The scenario that catches it.
    pub scenario: String,
    /// How many seeds it may take.
    pub seeds: u64,
    /// The oracles that may catch it; any if none is named.
    #[serde(default)]
    pub oracles: Vec<String>,
}

impl Mutant {
    /// Reads one file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mutant: Self = toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        let inside = mutant.file.components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || !mutant.file.starts_with("src") {
            return Err(format!("{} is not under src/", mutant.file.display()));
        }
        if mutant.find.is_empty() || mutant.find == mutant.replace || mutant.seeds == 0 {
            return Err("it changes nothing, or may try no seed".to_owned());
        }
        match mutant.oracles.iter().find(|name| *name != "panic" && !crate::oracles::is_known(name)) {
            Some(name) => Err(format!("{name:?} is no oracle")),
            None => Ok(mutant),
        }
    }

    /// Reads one file.
    pub fn load(path: &Path) -> Result<Self, String> {
        let told = |reason: String| format!("{}: {reason}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
        let mutant = Self::parse(&text).map_err(told)?;
        if path.file_stem().is_none_or(|stem| stem.to_string_lossy() != mutant.name) {
            return Err(told(format!("its name {:?} is not the file's", mutant.name)));
        }
        Ok(mutant)
    }

    /// Reads every mutant of a directory, in order of their names.
    pub fn load_all(directory: &Path) -> Result<Vec<Self>, String> {
        let told = |error: std::io::Error| format!("{}: {error}", directory.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(told)? {
            files.push(entry.map_err(told)?.path());
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        files.iter().map(|file| Self::load(file)).collect()
    }

    /// The file's text with the bug in it.
    pub fn plant(&self, text: &str) -> Result<String, String> {
        match text.matches(&self.find).count() {
            1 => Ok(text.replacen(&self.find, &self.replace, 1)),
            times => Err(format!(
                "{}: {} has what is to be replaced {times} times, not once: {:?}",
                self.name,
                self.file.display(),
                self.find
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        name = "x"
        claim = "Something is forgotten."
        bug = "none"
        file = "src/a.rs"
        find = "one"
        replace = "two"
        scenario = "calm"
        seeds = 3
    "#;

    #[test]
    fn what_is_to_be_replaced_must_stand_there_once() {
        let mutant = Mutant::parse(TEXT).expect("it is right");
        assert_eq!(mutant.plant("a one b"), Ok("a two b".to_owned()));
        assert!(mutant.plant("a b").expect_err("none").contains("0 times"));
        assert!(mutant.plant("one one").expect_err("two").contains("2 times"));
    }

    #[test]
    fn files_that_cannot_be_are_refused() {
        for (from, to) in
            [("seeds = 3", "seeds = 0"), ("src/a", "src/../a"), ("src/a", "tests/a"), ("bug", "bag")]
        {
            assert!(Mutant::parse(&TEXT.replace(from, to)).is_err(), "{to}");
        }
        assert!(
            Mutant::parse(&format!("{TEXT}\noracles = [\"luck\"]")).expect_err("luck").contains("no oracle")
        );
    }
}
