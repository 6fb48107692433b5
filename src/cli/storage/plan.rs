//! The rules of `storage format`: which of its options go together, and with which configuration.

use super::FormatArgs;
use crate::config::listeners::{HostPort, InitialVoter, Listener, parse_initial_voter};
use crate::config::server::ServerConfig;
use crate::controller::features::{KRAFT_LEVELS, KRAFT_VERSION, METADATA_VERSION, SUPPORTED_FEATURES};
use crate::node::{FormatPlan, InitialVoters};
use crate::types::Uuid;

/// The release whose metadata.version is the only one that is supported, as Kafka's tools name it.
const RELEASES: &[&str] = &["4.3", "4.3-IV0"];

/// What to format, or why not, and the way out.
pub(super) fn plan(args: &FormatArgs, config: &ServerConfig) -> Result<FormatPlan, String> {
    let id = &args.cluster_id;
    if Uuid::parse(id).is_none_or(Uuid::is_reserved) {
        return Err(format!(
            "{id:?} is no cluster id: it needs 22 characters of URL-safe base 64, as \
             `ottla storage random-uuid` prints them"
        ));
    }
    let mut plan = FormatPlan::new(id);
    plan.ignore_formatted = args.ignore_formatted;
    set_features(&mut plan, args, config)?;
    plan.voters = voters(args, config)?;
    Ok(plan)
}

fn voters(args: &FormatArgs, config: &ServerConfig) -> Result<InitialVoters, String> {
    let is_static = !config.voters.is_empty();
    if is_static && (args.standalone || args.initial_controllers.is_some()) {
        return Err(
            "controller.quorum.voters makes the voters static, and --standalone and --initial-controllers make \
             them dynamic: give neither option, or set controller.quorum.bootstrap.servers instead"
                .to_owned(),
        );
    }
    if let Some(text) = &args.initial_controllers {
        return named(text, config).map(InitialVoters::Named);
    }
    if args.standalone {
        return standalone(config).map(InitialVoters::Standalone);
    }
    if config.is_controller() && !is_static && !args.no_initial_controllers {
        return Err(
            "without controller.quorum.voters a controller must be told how the quorum begins: --standalone \
             (with this node alone), --initial-controllers (with those you name) or --no-initial-controllers \
             (it exists already)"
                .to_owned(),
        );
    }
    Ok(InitialVoters::Unsaid)
}

fn standalone(config: &ServerConfig) -> Result<HostPort, String> {
    let Some(Listener { host, port, .. }) = config.controller_endpoints().into_iter().next() else {
        return Err(
            "--standalone is for controllers: add controller to process.roles, or leave the option out"
                .to_owned(),
        );
    };
    if port == 0 {
        return Err(
            "--standalone writes down where this controller listens, and its port is 0: give its listener a \
             port"
                .to_owned(),
        );
    }
    // As in Kafka; the controller corrects it when it starts.
    let host = if host.is_empty() { "localhost".to_owned() } else { host };
    Ok(HostPort { host, port })
}

fn named(text: &str, config: &ServerConfig) -> Result<Vec<InitialVoter>, String> {
    let refuse = |reason: String| Err(format!("--initial-controllers: {reason}"));
    let mut voters: Vec<InitialVoter> = Vec::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let voter = match parse_initial_voter(entry) {
            Ok(voter) => voter,
            Err(error) => return refuse(error.to_string()),
        };
        if voters.iter().any(|other| other.id == voter.id) {
            return refuse(format!("node {} is there twice: name each once", voter.id));
        }
        if voters.iter().any(|other| other.directory == voter.directory || other.address == voter.address) {
            return refuse(format!(
                "{voter} has the address or the directory id of another: each node has its own; `ottla storage \
                 random-uuid` prints ids"
            ));
        }
        if voter.address.port == 0 || matches!(voter.address.host.as_str(), "0.0.0.0" | "::") {
            return refuse(format!(
                "{voter} has an address nobody can connect to: name the host and the port"
            ));
        }
        voters.push(voter);
    }
    if voters.is_empty() {
        return refuse("nobody is named: give id@host:port:directory-id, ...".to_owned());
    }
    if let Some(own) = voters.iter().find(|voter| voter.id == config.node_id) {
        if !config.is_controller() {
            return refuse(format!(
                "{own} is this node, which is no controller: remove it, or add controller to process.roles"
            ));
        }
        if config.controller_is_not_at(&own.address) {
            return refuse(format!(
                "{own} is this node, whose controller does not listen there: make its address that of the \
                 controller's listener"
            ));
        }
    }
    Ok(voters)
}

fn set_features(plan: &mut FormatPlan, args: &FormatArgs, config: &ServerConfig) -> Result<(), String> {
    if let Some(release) = &args.release_version {
        // As in Kafka, what follows a second point does not count.
        let short = release.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
        if !RELEASES.contains(&short.as_str()) {
            return Err(format!(
                "--release-version {release}: this version formats clusters for {}; leave the option out",
                RELEASES[0]
            ));
        }
    }
    let mut given: Vec<(String, i16)> = Vec::new();
    for text in &args.features {
        let (name, level) = feature(text)?;
        if given.iter().any(|(other, _)| *other == name) {
            return Err(format!("--feature {name} is given twice: keep one"));
        }
        given.push((name, level));
    }
    for (name, level) in given {
        match name.as_str() {
            KRAFT_VERSION => check_kraft_version(level, config)?,
            METADATA_VERSION if args.release_version.is_some() => {
                return Err(format!(
                    "--release-version says {METADATA_VERSION} already: leave --feature {name} out"
                ));
            }
            _ => set_feature(plan, &name, level)?,
        }
    }
    Ok(())
}

fn feature(text: &str) -> Result<(String, i16), String> {
    let parsed = text.split_once('=').and_then(|(name, level)| {
        let level = level.trim().parse().ok().filter(|level| *level >= 0)?;
        Some((name.trim().to_owned(), level))
    });
    parsed
        .ok_or_else(|| format!("--feature {text} is not of the form NAME=LEVEL, for example kraft.version=1"))
}

/// Where voters can change the level is 1, else 0; the option may only say so.
fn check_kraft_version(level: i16, config: &ServerConfig) -> Result<(), String> {
    const MAX: i16 = KRAFT_LEVELS.max;
    let is_static = !config.voters.is_empty();
    match level {
        0 if !is_static => Err(format!(
            "--feature {KRAFT_VERSION}=0 asks for static voters, and controller.quorum.voters is not set: set \
             it, or leave the option out"
        )),
        1..=MAX if is_static => Err(format!(
            "--feature {KRAFT_VERSION}={level} asks for voters that can change, and controller.quorum.voters \
             makes them static: set controller.quorum.bootstrap.servers instead, or leave the option out"
        )),
        0..=MAX => Ok(()),
        _ => Err(format!("--feature {KRAFT_VERSION}={level}: this version supports 0 to {MAX}")),
    }
}

fn set_feature(plan: &mut FormatPlan, name: &str, level: i16) -> Result<(), String> {
    let Some((_, range)) = SUPPORTED_FEATURES.iter().find(|(known, _)| *known == name) else {
        // A feature that is off is one that need not be there.
        if level == 0 {
            return Ok(());
        }
        let names: Vec<&str> = SUPPORTED_FEATURES.iter().map(|(known, _)| *known).collect();
        return Err(format!(
            "--feature {name}: this version does not have it; it has {KRAFT_VERSION}, {}",
            names.join(", ")
        ));
    };
    if !(range.min..=range.max).contains(&level) {
        let levels = match (range.min, range.max) {
            (only, max) if only == max => format!("only {only}"),
            (min, max) => format!("{min} to {max}"),
        };
        return Err(format!("--feature {name}={level}: this version supports {levels}"));
    }
    let set = plan.features.iter_mut().find(|(known, _)| known == name);
    set.expect("a plan begins with all features that are supported").1 = level;
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Texts;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: FormatArgs,
    }

    const CLUSTER: &str = "JEXY6aqzQY-32P5TStzaFg";
    const VOTERS: &str = "1@h1:9093:MvDxzVmcRsaTz33bUuRU6A,2@h2:9093:07R5amHmR32VDA6jHkGbTA";

    fn config(pairs: &[(&str, &str)]) -> ServerConfig {
        let defaults = [
            ("process.roles", "broker,controller"),
            ("node.id", "1"),
            ("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            ("controller.listener.names", "CONTROLLER"),
            ("controller.quorum.bootstrap.servers", "h1:9093"),
            ("log.dirs", "/data"),
        ];
        let pairs = defaults.iter().chain(pairs);
        let texts: Texts = pairs.map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        ServerConfig::parse(texts).expect("it is complete").0
    }

    fn dynamic() -> ServerConfig {
        config(&[])
    }

    fn fixed() -> ServerConfig {
        config(&[("controller.quorum.voters", "1@h1:9093,2@h2:9093")])
    }

    fn broker() -> ServerConfig {
        config(&[("process.roles", "broker"), ("listeners", "PLAINTEXT://:9092")])
    }

    fn planned(config: &ServerConfig, options: &str) -> Result<FormatPlan, String> {
        let words = ["format", "-c", "f", "-t", CLUSTER].into_iter().chain(options.split_whitespace());
        plan(&Line::try_parse_from(words).map_err(|error| error.to_string())?.args, config)
    }

    #[test]
    fn the_voters_are_static_or_as_the_options_say() {
        let voters = |config: &ServerConfig, options: &str| planned(config, options).expect(options).voters;
        assert_eq!(voters(&fixed(), ""), InitialVoters::Unsaid);
        assert_eq!(voters(&fixed(), "--no-initial-controllers"), InitialVoters::Unsaid);
        assert_eq!(voters(&broker(), ""), InitialVoters::Unsaid);
        assert_eq!(voters(&dynamic(), "-N"), InitialVoters::Unsaid);
        let at = |host: &str| InitialVoters::Standalone(HostPort { host: host.to_owned(), port: 9093 });
        assert_eq!(voters(&dynamic(), "-s"), at("localhost"));
        let advertised = config(&[("advertised.listeners", "CONTROLLER://c.example:9093")]);
        assert_eq!(voters(&advertised, "--standalone"), at("c.example"));
        for node in [dynamic(), config(&[("node.id", "3")])] {
            let InitialVoters::Named(named) = voters(&node, &format!("-I {VOTERS}")) else {
                panic!("they are named")
            };
            assert_eq!(named.iter().map(ToString::to_string).collect::<Vec<_>>().join(","), VOTERS);
        }
    }

    #[test]
    fn features_begin_at_their_highest_level_unless_told() {
        let features = |options: &str| planned(&fixed(), options).expect(options).features;
        let pairs = |elr| {
            vec![("metadata.version".to_owned(), 30), ("eligible.leader.replicas.version".to_owned(), elr)]
        };
        for options in [
            "",
            "-r 4.3",
            "-r 4.3-IV0",
            "-r 4.3.1",
            "-f metadata.version=30",
            "-f kraft.version=0",
            "-f group.version=0",
        ] {
            assert_eq!(features(options), pairs(1), "{options}");
        }
        assert_eq!(features("-f eligible.leader.replicas.version=0"), pairs(0));
        assert_eq!(planned(&dynamic(), "-s -f kraft.version=1").expect("it is so").features, pairs(1));
    }

    #[test]
    fn refusals_name_the_option_and_the_way_out() {
        let mut shown = Vec::new();
        let mut refuse = |config: &ServerConfig, options: &str| {
            let error = planned(config, options).expect_err(options);
            shown.push(format!("format {options}\n    {}", error.lines().next().expect("it has a line")));
        };
        let (dynamic, fixed, broker) = (dynamic(), fixed(), broker());
        for options in ["", "-s -N", "-s -I x", "-N -I x", "-I 1@h1:9093", "-I ,"] {
            refuse(&dynamic, options);
        }
        refuse(&fixed, "-s");
        refuse(&fixed, &format!("-I {VOTERS}"));
        refuse(&broker, "-s");
        let twice = "1@h1:1:MvDxzVmcRsaTz33bUuRU6A,1@h2:1:07R5amHmR32VDA6jHkGbTA";
        let copied = "1@h1:1:MvDxzVmcRsaTz33bUuRU6A,2@h2:1:MvDxzVmcRsaTz33bUuRU6A";
        let (nowhere, elsewhere) =
            ("1@0.0.0.0:1:MvDxzVmcRsaTz33bUuRU6A", "1@localhost:1:MvDxzVmcRsaTz33bUuRU6A");
        for voters in [twice, copied, nowhere, elsewhere] {
            refuse(&dynamic, &format!("-I {voters}"));
        }
        refuse(&broker, &format!("-I {VOTERS}"));
        for options in [
            "-r 4.2",
            "-r latest",
            "-r 4.3 -f metadata.version=30",
            "-f metadata.version=29",
            "-f eligible.leader.replicas.version=2",
            "-f group.version=1",
            "-f group.version",
            "-f group.version=-1",
            "-f kraft.version=0 -f kraft.version=0",
            "-f kraft.version=1",
            "-f kraft.version=2",
        ] {
            refuse(&fixed, options);
        }
        refuse(&dynamic, "-s -f kraft.version=0");
        refuse(&config(&[("listeners", "PLAINTEXT://:9092,CONTROLLER://:0")]), "-s");
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn a_cluster_id_is_22_characters() {
        for id in ["x", "AAAAAAAAAAAAAAAAAAAAAA"] {
            let line = Line::try_parse_from(["format", "-c", "f", "-s", "-t", id]).expect("it is a line");
            assert!(plan(&line.args, &dynamic()).expect_err("it is none").contains("is no cluster id"));
        }
    }
}
