//! Regressions: bugs that were found, as plans that have to pass for ever.
//!
//! A seed means something else as soon as anything is drawn differently. So a file holds the whole plan, the
//! settled scenario and every fault with it: it goes on testing what it once tested.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::faults::Schedule;
use crate::run::Plan;
use crate::scenario::Scenario;

/// A bug that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Regression {
    /// What was wrong, in a sentence or two.
    pub found: String,
    /// The commit that mended it.
    pub mended: String,
    /// The seed.
    pub seed: u64,
    /// The claim, with everything drawn that it left to the seed.
    pub scenario: Scenario,
    /// The faults.
    pub schedule: Schedule,
}

impl Regression {
    /// The plan to play.
    pub fn plan(&self) -> Plan {
        Plan { scenario: self.scenario.clone(), seed: self.seed, schedule: self.schedule.clone() }
    }

    /// Reads one file's text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let regression: Self =
            toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
        regression.scenario.check()?;
        if regression.scenario.cluster.swarm {
            return Err("its scenario leaves things to the seed: cluster.swarm must be false".to_owned());
        }
        Ok(regression)
    }

    /// Reads one file.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string());
        text.and_then(|text| Self::parse(&text)).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Reads every regression of a directory, in order of their names; none if there is no directory.
    pub fn load_all(directory: &Path) -> Result<Vec<(PathBuf, Self)>, String> {
        if !directory.exists() {
            return Ok(Vec::new());
        }
        let told = |error: std::io::Error| format!("{}: {error}", directory.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(told)? {
            files.push(entry.map_err(told)?.path());
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
        files.sort();
        files.into_iter().map(|file| Ok((file.clone(), Self::load(&file)?))).collect()
    }

    /// Writes one file.
    #[expect(clippy::disallowed_methods, reason = "regressions lie on the real disk")]
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let text = toml::to_string(self).expect("a plan is TOML");
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_comes_back_as_it_was() {
        let text = r#"
            name = "x"
            claim = "Something holds."
            expect = "pass"
            row = { acks = "all", flush = "1" }
            faults = { every-ms = 300, weights = { crash = 1, power-loss = 1, cut = 1, clock-step = 1 } }
        "#;
        let Plan { scenario, seed, schedule } = Plan::draw(&Scenario::parse("x", text).expect("right"), 5);
        let (found, mended) = ("something".to_owned(), "0000000".to_owned());
        let regression = Regression { found, mended, seed, scenario, schedule };
        let text = toml::to_string(&regression).expect("plain data");
        assert_eq!(Regression::parse(&text), Ok(regression));
        let open = text.replace("swarm = false", "swarm = true");
        assert!(Regression::parse(&open).expect_err("it draws").contains("cluster.swarm"));
    }
}
