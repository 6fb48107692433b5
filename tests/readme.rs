//! What the README lists is what the code has.

use ottla::broker::serves;
use ottla::config::topic_keys::TOPIC_KEYS;
use ottla::wire::ApiKey;

const README: &str = include_str!("../README.md");

#[test]
fn the_table_of_apis_is_what_is_served() {
    let table = README.lines().skip_while(|line| *line != "| key | API | versions |").skip(2);
    let listed: Vec<&str> = table.take_while(|line| line.starts_with('|')).collect();
    let served: Vec<String> = ApiKey::ALL
        .iter()
        .filter(|key| serves(**key))
        .map(|key| format!("| {} | {} | {} |", key.code(), key.name(), key.versions()))
        .collect();
    assert_eq!(listed, served);
}

#[test]
fn every_config_that_is_not_in_force_is_listed_and_no_other() {
    let start = README.find("Not in force yet:").expect("the README lists them");
    let end = start + README[start..].find("; and of").expect("the list ends there");
    let listed: Vec<&str> = README[start..end].split('`').skip(1).step_by(2).collect();
    let stored: Vec<&str> = TOPIC_KEYS.iter().filter(|key| !key.in_force).map(|key| key.name).collect();
    assert_eq!(listed, stored);
}
