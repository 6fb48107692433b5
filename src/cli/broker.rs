//! `ottla dev` and `ottla server`: a node, from its configuration to its end.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::task::Poll;

use rand_core::Rng as _;

use crate::client::futures::FutureSet;
use crate::config::Texts;
use crate::config::properties;
use crate::config::server::{DevPorts, ServerConfig, several_brokers, single_broker};
use crate::env::{Disk, Env, File, OpenMode, Purpose};
use crate::node::{self, Node, NodeFailure, StartError};
use crate::types::Uuid;

/// A broker, or a cluster of several, for development: no configuration, on loopback.
#[derive(Debug, Clone, clap::Args)]
pub struct DevArgs {
    /// The port; 0 picks a free one.
    #[arg(long, default_value_t = 9092)]
    pub port: u16,
    /// How many brokers, 1 to 9: on this port and those after it, each with a directory of its own.
    #[arg(long, default_value_t = 1)]
    pub brokers: u16,
    /// Where the data is kept.
    #[arg(long, value_name = "DIR", default_value = "ottla-data")]
    pub data_dir: PathBuf,
}

/// A broker as its `server.properties` says.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// A file in the syntax and with the names of Kafka's server.properties.
    pub file: PathBuf,
    /// Sets one property, over what the file says.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Runs `ottla dev` until `stop`.
pub async fn dev<E: Env>(env: E, args: DevArgs, stop: impl Future<Output = &'static str>) -> ExitCode {
    let configs = match dev_configs(&args) {
        Ok(configs) => configs,
        Err(text) => return fail(&text),
    };
    // Before anything is formatted: whoever is refused comes back to what there was.
    if let Err(error) = node::try_ports(&env, &configs).await {
        return fail(&error.to_string());
    }
    if let Err(text) = format_all(&env, &configs).await {
        return fail(&text);
    }
    serve(env, configs, stop).await
}

fn dev_configs(args: &DevArgs) -> Result<Vec<ServerConfig>, String> {
    if args.brokers == 1 {
        let listen = format!("127.0.0.1:{}", args.port);
        return Ok(vec![parse(single_broker(&listen, 0, &args.data_dir.to_string_lossy()))?]);
    }
    let ports = DevPorts::from(args.port, args.brokers).map_err(|error| error.to_string())?;
    several_brokers(&ports, &args.data_dir).into_iter().map(parse).collect()
}

/// Formats the directories of the nodes that are not formatted yet: all for the cluster of those that are.
async fn format_all<E: Env>(env: &E, configs: &[ServerConfig]) -> Result<(), String> {
    let mut cluster: Option<(String, &Path)> = None;
    let mut unformatted = Vec::new();
    for config in configs {
        if !node::is_formatted(env, config).await.map_err(|error| error.to_string())? {
            unformatted.push(config);
            continue;
        }
        let path = config.metadata_log_dir.as_path();
        let found = node::cluster_id(env, config).await.map_err(|error| error.to_string())?;
        match (&cluster, found) {
            (Some((id, first)), Some(found)) if *id != found => {
                return Err(format!(
                    "{} is of cluster {found}, and {} of cluster {id}: the directories of one cluster go together; \
                     move away the one that is not of yours",
                    path.display(),
                    first.display()
                ));
            }
            (None, Some(found)) => cluster = Some((found, path)),
            _ => {}
        }
    }
    let id = cluster.map_or_else(|| random_id(env, "cluster-id").to_string(), |(id, _)| id);
    for config in unformatted {
        node::format(env, config, &id).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Runs `ottla server` until `stop`.
pub async fn server<E: Env>(env: E, args: ServerArgs, stop: impl Future<Output = &'static str>) -> ExitCode {
    match load(&env, &args.file, &args.overrides).await.and_then(parse) {
        Ok(config) => serve(env, vec![config], stop).await,
        Err(text) => fail(&text),
    }
}

/// The properties of a file, with overrides.
pub(super) async fn load<E: Env>(env: &E, path: &Path, overrides: &[String]) -> Result<Texts, String> {
    let bytes = read(env, path).await.map_err(|error| error.to_string())?;
    // Java reads properties as ISO 8859-1 where they are not escaped; UTF-8 is what people write today.
    let text = String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8", path.display()))?;
    let mut texts = properties::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    for text in overrides {
        let (key, value) = properties::parse_override(text).map_err(|error| error.to_string())?;
        texts.insert(key, value);
    }
    Ok(texts)
}

/// The configuration that the properties make; warnings go to stderr.
pub(super) fn parse(texts: Texts) -> Result<ServerConfig, String> {
    let (config, warnings) = ServerConfig::parse(texts).map_err(|error| error.to_string())?;
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
    Ok(config)
}

async fn read<E: Env>(env: &E, path: &Path) -> Result<Vec<u8>, crate::env::DiskError> {
    let file = env.disk().open(path, OpenMode::Existing).await?;
    let length = usize::try_from(file.len().await?).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    file.read_at(0, length, &mut bytes).await?;
    Ok(bytes)
}

/// Runs nodes of one cluster until `stop`, or until one of them fails.
async fn serve<E: Env>(
    env: E,
    configs: Vec<ServerConfig>,
    stop: impl Future<Output = &'static str>,
) -> ExitCode {
    let mut stop = std::pin::pin!(stop);
    let started = {
        let starting = std::pin::pin!(start_all(&env, configs));
        first(starting, &mut stop).await
    };
    let mut nodes = match started {
        Ok(Ok(nodes)) => nodes,
        Ok(Err(error)) => return fail(&error.to_string()),
        Err(signal) => {
            // It has served nothing yet. What its directories hold is as a crash would leave it.
            eprintln!("{signal}: stopped while starting");
            return ExitCode::SUCCESS;
        }
    };
    let joined = {
        let joined = std::pin::pin!(all_joined(&mut nodes));
        first(joined, &mut stop).await
    };
    match joined {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => return fail(&failure.to_string()),
        Err(signal) => {
            eprintln!("{signal}: shutting down");
            return shut_down_all(nodes).await;
        }
    }
    let addresses = |node: &Node<E>| match node.addresses() {
        // A controller and nothing else.
        none if none.is_empty() => node.controller_addresses(),
        some => some,
    };
    let addresses: Vec<String> =
        nodes.iter().flat_map(addresses).map(|address| address.to_string()).collect();
    println!("ready {}", addresses.join(","));
    let failure = {
        let failed = std::pin::pin!(any_failed(&mut nodes));
        first(failed, &mut stop).await
    };
    match failure {
        Ok(failure) => {
            // What is synced is on disk; what is not, nobody was promised. There is nothing to save by going on.
            fail(&failure.to_string())
        }
        Err(signal) => {
            eprintln!("{signal}: shutting down");
            shut_down_all(nodes).await
        }
    }
}

/// Starts nodes side by side: none of several is ready before most are there.
async fn start_all<E: Env>(env: &E, configs: Vec<ServerConfig>) -> Result<Vec<Node<E>>, StartError> {
    let mut starting = FutureSet::new();
    let count = configs.len();
    for (index, config) in configs.into_iter().enumerate() {
        let env = env.clone();
        starting.push(async move { (index, node::start(env, config).await) });
    }
    let mut nodes: BTreeMap<usize, Node<E>> = BTreeMap::new();
    while nodes.len() < count {
        let (index, started) = starting.next().await;
        nodes.insert(index, started?);
    }
    Ok(nodes.into_values().collect())
}

/// Waits until all nodes belong to a quorum. Brokers do when they have started; a node that is a controller and nothing
/// else may be refused until then.
async fn all_joined<E: Env>(nodes: &mut [Node<E>]) -> Result<(), NodeFailure> {
    for node in nodes {
        node.joined().await?;
    }
    Ok(())
}

/// Why the first node that fails cannot go on.
async fn any_failed<E: Env>(nodes: &mut [Node<E>]) -> NodeFailure {
    let mut failing: Vec<_> = nodes.iter_mut().map(|node| Box::pin(node.failed())).collect();
    std::future::poll_fn(|context| {
        let failed = failing.iter_mut().find_map(|failing| match failing.as_mut().poll(context) {
            Poll::Ready(failure) => Some(failure),
            Poll::Pending => None,
        });
        failed.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

/// Stops nodes side by side.
async fn shut_down_all<E: Env>(nodes: Vec<Node<E>>) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let outcomes = match <[Node<E>; 1]>::try_from(nodes) {
        Ok([node]) => vec![node.shutdown().await],
        Err(nodes) => Node::shutdown_all(nodes).await,
    };
    for failure in outcomes.into_iter().filter_map(Result::err) {
        code = fail(&failure.to_string());
    }
    code
}

/// Whichever ends first: a failure of the node goes before a signal.
async fn first<A, B>(
    mut one: impl Future<Output = A> + Unpin,
    mut other: impl Future<Output = B> + Unpin,
) -> Result<A, B> {
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(output) = std::pin::Pin::new(&mut one).poll(context) {
            return std::task::Poll::Ready(Ok(output));
        }
        std::pin::Pin::new(&mut other).poll(context).map(Err)
    })
    .await
}

pub(super) fn random_id<E: Env>(env: &E, what: &'static str) -> Uuid {
    let mut rng = env.rng(Purpose { subsystem: "cli", what, instance: 0 });
    Uuid::from_random(|| u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
}

fn fail(text: &str) -> ExitCode {
    eprintln!("error: {text}");
    ExitCode::FAILURE
}
