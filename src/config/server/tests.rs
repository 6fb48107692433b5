use super::*;

fn texts(pairs: &[(&str, &str)]) -> Texts {
    let mut texts = single_broker("localhost:9092", 9093, "/data");
    texts.extend(pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())));
    texts
}

fn problems(pairs: &[(&str, &str)], without: &[&str]) -> Vec<String> {
    let mut texts = texts(pairs);
    texts.retain(|name, _| !without.contains(&name.as_str()));
    ServerConfig::parse(texts).expect_err("it is refused").problems
}

#[test]
fn one_broker_alone_is_a_configuration() {
    let (config, warnings) = ServerConfig::parse(texts(&[("broker.rack", "a")])).expect("it is complete");
    assert_eq!((config.node_id, config.rack.as_deref()), (BrokerId(1), Some("a")));
    assert_eq!((config.texts["node.id"].as_str(), config.texts["broker.id"].as_str()), ("1", "1"));
    assert_eq!((config.default_replication_factor, config.min_insync_replicas()), (1, 1));
    assert_eq!(config.listeners.len(), 1);
    assert_eq!(config.controller_listeners[0].port, 9093);
    assert_eq!(config.inter_broker_listener, "PLAINTEXT");
    assert_eq!(config.metadata_log_dir, PathBuf::from("/data"));
    assert_eq!(config.connections_max_idle, Some(Duration::from_secs(600)));
    assert_eq!(config.queued_max_request_bytes, None);
    assert!(config.is_broker() && config.is_controller());
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn a_servers_defaults_are_three_replicas_and_two_in_sync() {
    let mut texts = texts(&[]);
    texts.retain(|name, _| name != "default.replication.factor" && name != "min.insync.replicas");
    let (config, _) = ServerConfig::parse(texts).expect("it is complete");
    assert_eq!((config.default_replication_factor, config.min_insync_replicas()), (3, 2));
}

#[test]
fn kafkas_own_example_file_starts() {
    let file = "process.roles=broker,controller\nnode.id=1\n\
        controller.quorum.bootstrap.servers=localhost:9093\n\
        listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
        advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
        controller.listener.names=CONTROLLER\n\
        listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL\n\
        num.network.threads=3\nnum.io.threads=8\nsocket.send.buffer.bytes=102400\n\
        log.dirs=/tmp/kraft-combined-logs\nnum.partitions=1\noffsets.topic.replication.factor=1\n\
        log.retention.hours=168\nlog.segment.bytes=1073741824\nlog.retention.check.interval.ms=300000\n";
    let texts = super::super::properties::parse(file).expect("it is of the syntax");
    let (config, _) = ServerConfig::parse(texts).expect("Kafka starts with it");
    assert_eq!(config.bootstrap_servers.len(), 1);
    assert_eq!(config.advertised_listeners.len(), 2);
    assert_eq!(endpoints(&config), ["CONTROLLER://localhost:9093"]);
}

#[test]
fn refusals_name_the_setting_and_the_way_out() {
    for (pairs, without, expected) in [
        (&[][..], &["node.id"][..], "node.id is not set"),
        (&[("broker.id", "2")], &[], "broker.id and node.id differ"),
        (&[], &["process.roles"], "process.roles is not set"),
        (&[("process.roles", "")], &[], "Invalid value  for configuration process.roles"),
        (&[("process.roles", "broker,zookeeper")], &[], "Each value must be one of: broker, controller"),
        (&[], &["log.dirs"], "log.dirs is not set"),
        (&[("unclean.leader.election.enable", "true")], &[], "set it on the topics that may"),
        (&[("authorizer.class.name", "a.B")], &[], "authorizer.class.name asks for access control"),
        (&[("remote.log.storage.system.enable", "true")], &[], "asks for tiered storage"),
        (&[("min.insync.replicas", "2")], &[], "min.insync.replicas=2 asks for more replicas"),
        (&[("queued.max.request.bytes", "5")], &[], "has no room for one request"),
        (&[("replica.fetch.wait.max.ms", "30001")], &[], "must not be more than replica.lag.time.max.ms"),
        (
            &[("log.cleaner.min.compaction.lag.ms", "9"), ("log.cleaner.max.compaction.lag.ms", "8")],
            &[],
            "no topic could have these defaults",
        ),
        (&[("log.retention.minutes", "0")], &[], "log.retention.minutes=0 would delete records at once"),
        (&[("listeners", "PLAINTEXT://:1,CONTROLLER:2")], &[], "listeners: CONTROLLER:2 is not of the form"),
        (
            &[("listeners", "PLAINTEXT://:1,PLAINTEXT://:2,CONTROLLER://:3")],
            &[],
            "listeners has PLAINTEXT twice",
        ),
        (&[("listeners", "PLAINTEXT://:1,CONTROLLER://:1")], &[], "listeners has :1 twice"),
        (&[("listeners", "SSL://:1,CONTROLLER://:2")], &[], "listener SSL asks for TLS or SASL"),
        (&[("listeners", "X://:1,CONTROLLER://:2")], &[], "listener X has no security protocol"),
        (&[("listeners", "PLAINTEXT://:1")], &[], "controller.listener.names has CONTROLLER"),
        (&[("listeners", "CONTROLLER://:1")], &[], "no listener is left for clients"),
        (&[], &["controller.listener.names"], "controller.listener.names is not set"),
        (&[("listener.security.protocol.map", "A")], &[], "listener.security.protocol.map: A is not"),
        (&[("advertised.listeners", "PLAINTEXT://0.0.0.0:1")], &[], "an address nobody can connect to"),
        (&[("advertised.listeners", "SSL://h:1")], &[], "advertised.listeners has SSL"),
        (&[("inter.broker.listener.name", "SSL")], &[], "the brokers' own listener SSL"),
        (
            &[("inter.broker.listener.name", "PLAINTEXT"), ("security.inter.broker.protocol", "PLAINTEXT")],
            &[],
            "say the same twice",
        ),
        (
            &[("controller.quorum.voters", "2@h:1,3@h:2")],
            &[],
            "does not have this node (1), which is a controller",
        ),
        (&[("controller.quorum.voters", "1@h:1,1@h:2")], &[], "controller.quorum.voters has node 1 twice"),
        (&[("controller.quorum.voters", "1@h:1,2@h:1")], &[], "controller.quorum.voters has h:1 twice"),
        (
            &[("controller.quorum.voters", "1@0.0.0.0:1")],
            &[],
            "1@0.0.0.0:1 is an address nobody can connect to",
        ),
        (&[("controller.quorum.voters", "1@h:1,2@h:0")], &[], "2@h:0 is an address nobody can connect to"),
        (
            &[("controller.quorum.voters", "1@localhost:9094")],
            &[],
            "(1) at localhost:9094, where it does not listen",
        ),
        (&[("controller.quorum.voters", "")], &[], "nothing says where the quorum is"),
        (
            &[("replica.selector.class", "a.B")],
            &[],
            "replica.selector.class=a.B is a class that cannot be loaded",
        ),
        (
            &[("broker.heartbeat.interval.ms", "9000")],
            &[],
            "must be less than broker.session.timeout.ms=9000",
        ),
        (&[("broker.session.timeout.ms", "0")], &[], "broker.session.timeout.ms=0 leaves no time at all"),
        (&[("controller.quorum.fetch.max.bytes", "0")], &[], "Value must be at least 1"),
        (&[("leader.replication.throttled.rate", "-1")], &[], "Value must be at least 0"),
        (
            &[("replica.socket.timeout.ms", "499")],
            &[],
            "replica.fetch.wait.max.ms=500 must not be more than replica.socket.timeout.ms",
        ),
        (&[("controller.quorum.voters", "h:1")], &[], "controller.quorum.voters: h:1 is not of the form"),
        (
            &[("controller.quorum.bootstrap.servers", "h")],
            &[],
            "controller.quorum.bootstrap.servers: h is not",
        ),
        (&[], &["controller.quorum.voters"], "nothing says where the quorum is"),
        (
            &[("num.partitions", "0")],
            &[],
            "Invalid value 0 for configuration num.partitions: Value must be at least 1",
        ),
    ] {
        let problems = problems(pairs, without);
        assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
    }
}

#[test]
fn all_problems_are_told_at_once() {
    assert_eq!(problems(&[("num.partitions", "x"), ("node.id", "-1")], &[]).len(), 2);
    assert!(problems(&[], &["node.id", "log.dirs", "process.roles"]).len() >= 3);
}

#[test]
fn what_does_nothing_is_named() {
    let pairs = [
        ("num.network.threads", "9"),
        ("ssl.key.password", "x"),
        ("no.such", "1"),
        ("leader.imbalance.per.broker.percentage", "10"),
        ("leader.replication.throttled.rate", "1000"),
        ("metadata.max.idle.interval.ms", "1000"),
        ("broker.heartbeat.interval.ms", "5000"),
        ("log.flush.interval.messages", "5"),
    ];
    let (config, warnings) = ServerConfig::parse(texts(&pairs)).expect("none of them is refused");
    assert!(!config.texts.contains_key("leader.replication.throttled.rate"), "a file does not throttle");
    for expected in [
        "num.network.threads has no effect: Threads follow",
        "ssl.key.password has no effect: TLS",
        "no.such is not a configuration that is known",
        "leader.imbalance.per.broker.percentage has no effect: Kafka has dropped it",
        "leader.replication.throttled.rate has no effect in a file: set it while the cluster runs",
        "metadata.max.idle.interval.ms has no effect: An idle controller writes nothing",
        "broker.heartbeat.interval.ms=5000 is more than half of broker.session.timeout.ms=9000",
        "log.flush.* lets new topics",
    ] {
        assert!(warnings.iter().any(|warning| warning.contains(expected)), "{expected}: {warnings:?}");
    }
}

/// A broker and a controller of two processes, as Kafka's own example files have them.
const BROKER: &[(&str, &str)] = &[
    ("process.roles", "broker"),
    ("node.id", "2"),
    ("controller.quorum.bootstrap.servers", "localhost:9093"),
    ("listeners", "PLAINTEXT://localhost:9092"),
    ("inter.broker.listener.name", "PLAINTEXT"),
    ("advertised.listeners", "PLAINTEXT://localhost:9092"),
    ("controller.listener.names", "CONTROLLER"),
    ("log.dirs", "/data"),
];
const CONTROLLER: &[(&str, &str)] = &[
    ("process.roles", "controller"),
    ("node.id", "1"),
    ("controller.quorum.bootstrap.servers", "localhost:9093"),
    ("listeners", "CONTROLLER://:9093"),
    ("advertised.listeners", "CONTROLLER://localhost:9093"),
    ("controller.listener.names", "CONTROLLER"),
    ("log.dirs", "/data"),
];

/// The pairs over the base, each over those before it; `-` takes a key away.
fn with(base: &[(&str, &str)], pairs: &[(&str, &str)]) -> Texts {
    let mut texts = Texts::new();
    for &(key, value) in base.iter().chain(pairs) {
        texts.insert(key.to_owned(), value.to_owned());
    }
    texts.retain(|_, value| value != "-");
    texts
}

fn endpoints(config: &ServerConfig) -> Vec<String> {
    let shown = |it: &Listener| format!("{}://{}:{}", it.name, it.host, it.port);
    config.controller_endpoints().iter().map(shown).collect()
}

#[test]
fn a_node_can_be_a_broker_alone() {
    let (config, warnings) = ServerConfig::parse(with(BROKER, &[])).expect("Kafka starts with it");
    assert!(config.is_broker() && !config.is_controller() && warnings.is_empty(), "{warnings:?}");
    assert_eq!((config.listeners.len(), config.controller_listeners.len()), (1, 0));
    assert_eq!((config.controller_listener(), endpoints(&config)), ("CONTROLLER", Vec::new()));
    // Static voters do as well; what is advertised for the controllers is theirs.
    let voters = &[
        ("controller.quorum.bootstrap.servers", "-"),
        ("controller.quorum.voters", "1@localhost:9093"),
        ("advertised.listeners", "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093"),
        ("controller.listener.names", "CONTROLLER,OTHER"),
    ];
    let (config, warnings) = ServerConfig::parse(with(BROKER, voters)).expect("Kafka starts with it");
    assert_eq!((config.voters.len(), config.advertised_listeners.len()), (1, 1));
    assert_eq!(
        warnings,
        ["controller.listener.names has several names: a broker calls controllers on the first, CONTROLLER"]
    );
}

#[test]
fn a_node_can_be_a_controller_alone() {
    let (config, warnings) = ServerConfig::parse(with(CONTROLLER, &[])).expect("Kafka starts with it");
    assert!(!config.is_broker() && config.is_controller() && warnings.is_empty(), "{warnings:?}");
    assert_eq!((config.listeners.len(), config.controller_listeners.len()), (0, 1));
    assert_eq!(endpoints(&config), ["CONTROLLER://localhost:9093"]);
    // It has no use for a listener of brokers, but may know of one.
    let more = &[
        ("inter.broker.listener.name", "PLAINTEXT"),
        ("advertised.listeners", "CONTROLLER://localhost:9093,PLAINTEXT://h:9092"),
    ];
    let (config, _) = ServerConfig::parse(with(CONTROLLER, more)).expect("Kafka starts with it");
    assert_eq!(config.advertised_listeners.len(), 1);
}

#[test]
fn each_role_has_its_own_refusals() {
    let broker_refusals: &[(&[(&str, &str)], &str)] = &[
        (
            &[("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093")],
            "listeners has CONTROLLER, which controller.listener.names gives to the controllers",
        ),
        (&[("controller.listener.names", "-")], "controller.listener.names is not set"),
        (
            &[("controller.quorum.bootstrap.servers", "-")],
            "set controller.quorum.bootstrap.servers=HOST:9093",
        ),
        (&[("controller.quorum.voters", "2@h:9093")], "has this node (2), which is no controller"),
        (&[("controller.quorum.auto.join.enable", "true")], "controller.quorum.auto.join.enable=true is for"),
        (
            &[("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT")],
            "controller.listener.names: listener CONTROLLER has no security protocol",
        ),
        (
            &[("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:SSL")],
            "listener CONTROLLER asks for TLS or SASL",
        ),
        (&[("advertised.listeners", "OTHER://h:1")], "advertised.listeners: listener OTHER has no security"),
        (&[("listeners", "CONTROLLER://:9093")], "no listener is left for clients"),
    ];
    let controller_refusals: &[(&[(&str, &str)], &str)] = &[
        (&[("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093")], "listeners has PLAINTEXT, which"),
        (&[("listeners", "-")], "listeners is not set, and its default is for clients"),
        (&[("listeners", "PLAINTEXT://:9092")], "controller.listener.names has CONTROLLER, which listeners"),
        (
            &[("inter.broker.listener.name", "controller")],
            "inter.broker.listener.name=CONTROLLER is a listener",
        ),
        (&[("controller.quorum.voters", "2@h:9093")], "does not have this node (1), which is a controller"),
        (&[("controller.quorum.bootstrap.servers", "-")], "set controller.quorum.voters=1@localhost:9093"),
    ];
    for (base, refusals) in [(BROKER, broker_refusals), (CONTROLLER, controller_refusals)] {
        for (pairs, expected) in refusals {
            let problems = ServerConfig::parse(with(base, pairs)).expect_err(expected).problems;
            assert!(problems.iter().any(|it| it.contains(expected)), "{expected}: {problems:?}");
        }
    }
}

#[test]
fn a_voters_address_is_refused_only_where_it_is_certainly_wrong() {
    for (listener, advertised, voter, refused) in [
        ("CONTROLLER://:9093", "-", "localhost:9094", true),
        ("CONTROLLER://10.0.0.1:9093", "-", "10.0.0.1:9094", true),
        ("CONTROLLER://127.0.0.1:9093", "-", "localhost:9094", true),
        ("CONTROLLER://:9093", "-", "localhost:9093", false),
        // The system chooses; a container or a proxy may translate.
        ("CONTROLLER://localhost:0", "-", "localhost:9094", false),
        ("CONTROLLER://:9093", "-", "node-1:19093", false),
        ("CONTROLLER://10.0.0.1:9093", "-", "10.0.0.2:9093", false),
        ("CONTROLLER://:9093", "CONTROLLER://localhost:19093", "localhost:19093", false),
    ] {
        let voters = format!("1@{voter}");
        let pairs = [
            ("controller.quorum.bootstrap.servers", "-"),
            ("listeners", listener),
            ("advertised.listeners", advertised),
            ("controller.quorum.voters", &voters),
        ];
        let parsed = ServerConfig::parse(with(CONTROLLER, &pairs));
        assert_eq!(parsed.is_err(), refused, "{listener} {advertised} {voter}: {parsed:?}");
    }
}

#[test]
fn a_controller_tells_others_where_to_call_it() {
    let two = ("controller.listener.names", "CONTROLLER,OTHER");
    let map = ("listener.security.protocol.map", "CONTROLLER:PLAINTEXT,OTHER:PLAINTEXT");
    let pairs =
        [two, map, ("listeners", "OTHER://h:1,CONTROLLER://0.0.0.0:2"), ("advertised.listeners", "-")];
    let of = |more: &[(&str, &str)]| {
        let pairs = [&pairs[..], more].concat();
        endpoints(&ServerConfig::parse(with(CONTROLLER, &pairs)).expect("it is complete").0)
    };
    assert_eq!(of(&[]), ["CONTROLLER://:2", "OTHER://h:1"]);
    assert_eq!(of(&[("controller.quorum.voters", "1@node:3")]), ["CONTROLLER://node:3", "OTHER://h:1"]);
    assert_eq!(of(&[("advertised.listeners", "OTHER://o:4")]), ["CONTROLLER://:2", "OTHER://o:4"]);
}

#[test]
fn the_settings_of_a_cluster_have_kafkas_defaults() {
    let (config, _) = ServerConfig::parse(texts(&[])).expect("it is complete");
    insta::assert_debug_snapshot!((
        config.quorum,
        config.snapshots,
        config.lifecycle,
        config.elections,
        config.replication
    ));
}

#[test]
fn settings_can_be_switched_off() {
    let (config, warnings) = ServerConfig::parse(texts(&[
        ("metadata.log.max.snapshot.interval.ms", "0"),
        ("metadata.max.retention.bytes", "-1"),
        ("metadata.max.retention.ms", "-1"),
        ("auto.leader.rebalance.enable", "false"),
        ("controlled.shutdown.enable", "false"),
        ("replica.fetch.min.bytes", "-5"),
        ("replica.selector.class", " org.apache.kafka.common.replica.RackAwareReplicaSelector "),
    ]))
    .expect("none of them is refused");
    let SnapshotSettings { interval_max, retention_bytes, retention, .. } = config.snapshots;
    assert_eq!((interval_max, retention_bytes, retention), (None, None, None));
    assert_eq!((config.elections.rebalance_interval, config.lifecycle.controlled_shutdown), (None, false));
    assert_eq!((config.replication.fetch_min_bytes, config.replication.rack_aware_reads), (0, true));
    assert!(warnings.is_empty(), "{warnings:?}");
}
