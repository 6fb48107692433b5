//! The configurations of `ottla dev`: one broker, or a cluster of several on one machine.

use std::path::{Path, PathBuf};

use crate::config::Texts;

/// The most brokers of one machine.
const BROKERS_MAX: u16 = 9;

/// From a broker's port to that of its controller: out of the way of who counts up from a broker's.
const CONTROLLER_PORT_OFFSET: u16 = 1000;

/// After how many milliseconds without a leader a node stands for election. Nodes that start together wait for
/// that; where all are on one machine, there is little to wait for.
const ELECTION_TIMEOUT_MS: &str = "150";

/// What one broker alone needs to say, for `dev` and for tests: one replica is all there can be, so one is
/// what the defaults ask for.
pub fn single_broker(listen: &str, controller_port: u16, log_dir: &str) -> Texts {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    // Nobody but this process asks the controller, which needs one address and not all of them.
    let host = if matches!(host, "" | "0.0.0.0" | "::" | "[::]") { "localhost" } else { host };
    texts(&[
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.voters", &format!("1@{host}:{controller_port}")),
        ("controller.listener.names", "CONTROLLER"),
        ("listeners", &format!("PLAINTEXT://{listen},CONTROLLER://{host}:{controller_port}")),
        ("log.dirs", log_dir),
        ("default.replication.factor", "1"),
        ("min.insync.replicas", "1"),
    ])
}

/// The ports of a cluster on one machine, node by node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevPorts {
    /// Where clients are answered, and the controller.
    nodes: Vec<(u16, u16)>,
}

/// Why there are no ports for a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DevPortsError {
    /// There are none, or too many brokers.
    #[error("--brokers {0}: one machine runs 1 to {BROKERS_MAX} brokers")]
    Brokers(u16),
    /// Several brokers cannot have the system choose.
    #[error(
        "--port 0 is for one broker: several must know each other's ports before they start; name the first one"
    )]
    Zero,
    /// The last port is none.
    #[error("--port {first} with --brokers {brokers} needs ports up to {last}: begin at {most} or below")]
    Beyond {
        /// The first port.
        first: u16,
        /// How many brokers there are.
        brokers: u16,
        /// The last port that would be needed.
        last: u32,
        /// The highest first port that works.
        most: u16,
    },
}

impl DevPorts {
    /// The ports from `first` on for clients, and for the controllers those a thousand above.
    ///
    /// # Errors
    /// [`DevPortsError`]
    pub fn from(first: u16, brokers: u16) -> Result<Self, DevPortsError> {
        if !(1..=BROKERS_MAX).contains(&brokers) {
            return Err(DevPortsError::Brokers(brokers));
        }
        if first == 0 {
            return Err(DevPortsError::Zero);
        }
        let above = CONTROLLER_PORT_OFFSET + brokers - 1;
        if first.checked_add(above).is_none() {
            let last = u32::from(first) + u32::from(above);
            return Err(DevPortsError::Beyond { first, brokers, last, most: u16::MAX - above });
        }
        let node = |index| (first + index, first + index + CONTROLLER_PORT_OFFSET);
        Ok(Self { nodes: (0..brokers).map(node).collect() })
    }
}

/// The configurations of a cluster on one machine, for `dev`: every node is broker and controller, all on
/// loopback, with static voters.
///
/// Each node has a directory of its own, and each number of brokers a set of them: static voters cannot become
/// more or fewer without losing what was committed. They lie beside `data_dir`, not in it, which belongs to one
/// broker alone and may hold a topic of any name: `ottla-data-3-brokers/broker-1` beside `ottla-data`.
pub fn several_brokers(ports: &DevPorts, data_dir: &Path) -> Vec<Texts> {
    let nodes = || (1..).zip(&ports.nodes);
    let voters: Vec<String> = nodes().map(|(id, (_, port))| format!("{id}@127.0.0.1:{port}")).collect();
    let brokers = ports.nodes.len();
    let minimum = if brokers < 3 { 1 } else { 2 };
    let directory = beside(data_dir, brokers);
    let node = |(id, (clients, controller)): (usize, &(u16, u16))| {
        texts(&[
            ("process.roles", "broker,controller"),
            ("node.id", &id.to_string()),
            ("controller.quorum.voters", &voters.join(",")),
            ("controller.listener.names", "CONTROLLER"),
            ("listeners", &format!("PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{controller}")),
            ("controller.quorum.election.timeout.ms", ELECTION_TIMEOUT_MS),
            ("log.dirs", &directory.join(format!("broker-{id}")).to_string_lossy()),
            ("default.replication.factor", &brokers.min(3).to_string()),
            ("min.insync.replicas", &minimum.to_string()),
        ])
    };
    nodes().map(node).collect()
}

fn beside(data_dir: &Path, brokers: usize) -> PathBuf {
    let brokers = format!("{brokers}-brokers");
    match data_dir.file_name() {
        Some(name) => data_dir.with_file_name(format!("{}-{brokers}", name.to_string_lossy())),
        // `.` and `/` have no name to build on. No partition's directory ends in a word.
        None => data_dir.join(brokers),
    }
}

fn texts(pairs: &[(&str, &str)]) -> Texts {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::server::ServerConfig;

    fn cluster(first: u16, brokers: u16, data_dir: &str) -> Vec<ServerConfig> {
        let ports = DevPorts::from(first, brokers).expect("there are ports");
        let texts = several_brokers(&ports, Path::new(data_dir));
        texts.into_iter().map(|texts| ServerConfig::parse(texts).expect("each is complete").0).collect()
    }

    #[test]
    fn three_brokers_know_each_other_and_keep_apart() {
        let nodes = cluster(9092, 3, "data/ottla-data");
        let shown: Vec<String> = nodes
            .iter()
            .map(|node| {
                format!(
                    "{}: clients {}, controller {}, {}",
                    node.node_id,
                    node.listeners[0].port,
                    node.controller_listeners[0].port,
                    node.log_dirs[0].display()
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "1: clients 9092, controller 10092, data/ottla-data-3-brokers/broker-1",
                "2: clients 9093, controller 10093, data/ottla-data-3-brokers/broker-2",
                "3: clients 9094, controller 10094, data/ottla-data-3-brokers/broker-3",
            ]
        );
        for node in &nodes {
            assert!(node.is_broker() && node.is_controller());
            assert_eq!(node.voters, nodes[0].voters);
            assert_eq!((node.default_replication_factor, node.min_insync_replicas()), (3, 2));
            assert!(node.listeners.iter().chain(&node.controller_listeners).all(|it| it.host == "127.0.0.1"));
        }
    }

    #[test]
    fn the_defaults_suit_the_number_of_brokers() {
        for (brokers, replicas, minimum) in [(1, 1, 1), (2, 2, 1), (3, 3, 2), (5, 3, 2), (9, 3, 2)] {
            for node in cluster(9092, brokers, "ottla-data") {
                assert_eq!(node.voters.len(), usize::from(brokers));
                assert_eq!(
                    (node.default_replication_factor, node.min_insync_replicas()),
                    (replicas, minimum)
                );
            }
        }
    }

    #[test]
    fn no_two_numbers_of_brokers_share_a_directory() {
        let mut seen = std::collections::BTreeSet::from([PathBuf::from("ottla-data")]);
        for brokers in 1..=BROKERS_MAX {
            for node in cluster(9092, brokers, "ottla-data") {
                assert!(!node.log_dirs[0].starts_with("ottla-data"), "{:?}", node.log_dirs);
                assert!(seen.insert(node.log_dirs[0].clone()), "{:?}", node.log_dirs);
            }
        }
        assert_eq!(cluster(9092, 3, ".")[0].log_dirs, [PathBuf::from("./3-brokers/broker-1")]);
    }

    #[test]
    fn ports_that_are_none_are_refused() {
        let refused = |first, brokers| DevPorts::from(first, brokers).expect_err("it is refused").to_string();
        assert_eq!(refused(9092, 0), "--brokers 0: one machine runs 1 to 9 brokers");
        assert_eq!(refused(9092, 10), "--brokers 10: one machine runs 1 to 9 brokers");
        assert!(refused(0, 3).starts_with("--port 0 is for one broker"));
        assert_eq!(
            refused(64_534, 3),
            "--port 64534 with --brokers 3 needs ports up to 65536: begin at 64533 or below"
        );
        assert!(DevPorts::from(64_533, 3).is_ok());
    }
}
