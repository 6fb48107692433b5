//! Every mutant can still be planted.

use std::path::Path;

use ottla_sim::mutant::Mutant;
use ottla_sim::scenario::{Expect, Scenario};

#[test]
fn every_mutant_still_fits_the_sources_and_names_a_scenario_that_passes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mutants = Mutant::load_all(&root.join("scenarios/mutants")).unwrap_or_else(|error| panic!("{error}"));
    assert!(!mutants.is_empty(), "no mutant");
    for mutant in mutants {
        let text = std::fs::read_to_string(root.join(&mutant.file)).unwrap_or_else(|error| panic!("{error}"));
        mutant.plant(&text).unwrap_or_else(|error| panic!("{error}"));
        let scenario = Scenario::load(&root.join(format!("scenarios/{}.toml", mutant.scenario)));
        assert_eq!(
            scenario.unwrap_or_else(|error| panic!("{error}")).expect,
            Expect::Pass,
            "{}",
            mutant.name
        );
    }
}
