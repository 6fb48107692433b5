//! `ottla dev` and `ottla server`: a node, from its configuration to its end.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rand_core::Rng as _;

use crate::config::Texts;
use crate::config::properties;
use crate::config::server::{ServerConfig, single_broker};
use crate::env::{Disk, Env, File, OpenMode, Purpose};
use crate::node::{self, Node};
use crate::types::Uuid;

/// A broker for development: no configuration, on loopback.
#[derive(Debug, Clone, clap::Args)]
pub struct DevArgs {
    /// The port; 0 picks a free one.
    #[arg(long, default_value_t = 9092)]
    pub port: u16,
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
    let texts = single_broker(&format!("127.0.0.1:{}", args.port), 0, &args.data_dir.to_string_lossy());
    let config = match parse(texts) {
        Ok(config) => config,
        Err(text) => return fail(&text),
    };
    match node::is_formatted(&env, &config).await {
        Ok(true) => {}
        Ok(false) => {
            if let Err(error) = node::format(&env, &config, &random_id(&env, "cluster-id").to_string()).await
            {
                return fail(&error.to_string());
            }
        }
        Err(error) => return fail(&error.to_string()),
    }
    serve(env, config, stop).await
}

/// Runs `ottla server` until `stop`.
pub async fn server<E: Env>(env: E, args: ServerArgs, stop: impl Future<Output = &'static str>) -> ExitCode {
    match load(&env, &args.file, &args.overrides).await.and_then(parse) {
        Ok(config) => serve(env, config, stop).await,
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

async fn serve<E: Env>(env: E, config: ServerConfig, stop: impl Future<Output = &'static str>) -> ExitCode {
    let mut node: Node<E> = match node::start(env, config).await {
        Ok(node) => node,
        Err(error) => return fail(&error.to_string()),
    };
    let addresses: Vec<String> = node.addresses().iter().map(ToString::to_string).collect();
    println!("ready {}", addresses.join(","));
    let mut stop = std::pin::pin!(stop);
    let failure = {
        let failed = std::pin::pin!(node.failed());
        first(failed, &mut stop).await
    };
    match failure {
        Ok(failure) => {
            // What is synced is on disk; what is not, nobody was promised. There is nothing to save by going on.
            fail(&failure.to_string())
        }
        Err(signal) => {
            eprintln!("{signal}: shutting down");
            match node.shutdown().await {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => fail(&failure.to_string()),
            }
        }
    }
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
