//! Golden hashes: what some seeds did when somebody last looked. A difference is a change of behaviour, or
//! determinism lost; `cargo sim golden --bless` puts an intended change on record.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::run::{Plan, Report};
use crate::scenario::Scenario;
use crate::trace::Keep;

/// The seeds on record, of every scenario.
const SEEDS: [u64; 2] = [1, 2];

/// Hashes by scenario and seed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Golden {
    scenarios: BTreeMap<String, BTreeMap<String, String>>,
}

impl Golden {
    /// Today's hashes.
    pub fn of(scenarios: &[Scenario], play: impl Fn(&Plan, Keep) -> Report) -> Self {
        let hashes = |scenario: &Scenario| {
            SEEDS
                .map(|seed| (seed.to_string(), play(&Plan::draw(scenario, seed), Keep::Nothing).digest))
                .into()
        };
        Self {
            scenarios: scenarios.iter().map(|scenario| (scenario.name.clone(), hashes(scenario))).collect(),
        }
    }

    /// Reads the record.
    pub fn load(path: &Path) -> Result<Self, String> {
        #[expect(clippy::disallowed_methods, reason = "the record lies on the real disk")]
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let text = String::from_utf8_lossy(&bytes);
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// Writes the record.
    pub fn save(&self, path: &Path) -> Result<(), String> {
        let head = "# What these seeds did, as hashes. `cargo sim golden --bless` writes this file.\n\n";
        let text = format!("{head}{}", toml::to_string(self).expect("maps of strings are TOML"));
        #[expect(clippy::disallowed_methods, reason = "the record lies on the real disk")]
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// What differs, one line each.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let flat = |golden: &Self| -> BTreeMap<(String, String), String> {
            let pairs = golden.scenarios.iter().flat_map(|(scenario, seeds)| {
                seeds.iter().map(|(seed, hash)| ((scenario.clone(), seed.clone()), hash.clone()))
            });
            pairs.collect()
        };
        let (then, now) = (flat(self), flat(now));
        let keys: std::collections::BTreeSet<_> = then.keys().chain(now.keys()).collect();
        let said = |hash: Option<&String>| hash.cloned().unwrap_or_else(|| "nothing".to_owned());
        keys.into_iter()
            .filter(|key| then.get(*key) != now.get(*key))
            .map(|key| {
                let (scenario, seed) = key;
                format!(
                    "{scenario} seed {seed}: on record {}, now {}",
                    said(then.get(key)),
                    said(now.get(key))
                )
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(hash: &str) -> Golden {
        let seeds = BTreeMap::from([("1".to_owned(), hash.to_owned())]);
        Golden { scenarios: BTreeMap::from([("x".to_owned(), seeds)]) }
    }

    #[test]
    fn a_difference_names_scenario_and_seed() {
        assert!(golden("a").differences(&golden("a")).is_empty());
        assert_eq!(golden("a").differences(&golden("b")), ["x seed 1: on record a, now b"]);
        assert_eq!(golden("a").differences(&Golden::default()), ["x seed 1: on record a, now nothing"]);
    }
}
