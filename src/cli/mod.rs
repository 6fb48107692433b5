//! The subcommands for people: cluster, topics, produce, consume.
//!
//! Everything a command prints is made by pure functions; what reads and writes the terminal is in
//! [`terminal`]. Results go to stdout, everything said about them to stderr, so that pipes carry data only.
//! A command ends with 0 if all went well, with 1 if anything did not, and says then what to do about it.

pub mod broker;
mod brokers;
mod cluster;
mod consume;
mod produce;
pub mod storage;
mod table;
pub mod terminal;
mod time;
mod topics;

pub use cluster::ClusterCommand;
pub use consume::ConsumeArgs;
pub use produce::ProduceArgs;
pub use topics::TopicsCommand;

use std::process::ExitCode;
use std::time::Duration;

use crate::client::admin::AdminError;
use crate::client::config::ClientConfig;
use crate::client::connection::Connection;
use crate::env::Env;
use crate::error_code::ErrorCode;
use terminal::Terminal;

/// How long a command waits for the cluster before it gives up.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where the cluster is.
#[derive(Debug, Clone, clap::Args)]
pub struct Connect {
    /// One or more brokers to begin with, separated by commas.
    #[arg(long, global = true, value_name = "HOST:PORT", default_value = "127.0.0.1:9092")]
    pub bootstrap_server: String,
}

/// What to do with it.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Show how the cluster stands.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Create, list, describe and delete topics.
    #[command(subcommand)]
    Topics(TopicsCommand),
    /// Send lines from stdin to a topic, one record each.
    Produce(ProduceArgs),
    /// Print the records of a topic.
    Consume(ConsumeArgs),
}

/// Why a command failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What went wrong.
    pub error: String,
    /// What may help.
    pub hint: Option<String>,
}

/// Carries out a command and says with which code to end.
pub async fn run<E: Env>(env: &E, connect: &Connect, command: Command, mut terminal: Terminal) -> ExitCode {
    let outcome = carry_out(env, connect, command, &mut terminal).await;
    let flushed = terminal.flush().await;
    match outcome.and_then(|all_well| flushed.map(|()| all_well)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Stop::Failed(failed)) => {
            terminal.say(&failed.to_string()).await;
            ExitCode::FAILURE
        }
        // Whoever read our output has seen enough: `| head`.
        Err(Stop::OutputClosed) => ExitCode::SUCCESS,
    }
}

/// Why a command ends early.
enum Stop {
    Failed(Failed),
    OutputClosed,
}

impl From<Failed> for Stop {
    fn from(failed: Failed) -> Self {
        Self::Failed(failed)
    }
}

impl From<AdminError> for Stop {
    fn from(error: AdminError) -> Self {
        Self::Failed(error.into())
    }
}

async fn carry_out<E: Env>(
    env: &E,
    connect: &Connect,
    command: Command,
    terminal: &mut Terminal,
) -> Result<bool, Stop> {
    let config = client_config(connect);
    reach(env, &config).await?;
    match command {
        Command::Cluster(command) => Box::pin(cluster::run(env, config, command, terminal)).await,
        Command::Topics(command) => Box::pin(topics::run(env, config, command, terminal)).await,
        Command::Produce(args) => Box::pin(produce::run(env, config, &args, terminal)).await,
        Command::Consume(args) => Box::pin(consume::run(env, config, &args, terminal)).await,
    }
}

fn client_config(connect: &Connect) -> ClientConfig {
    let servers = connect.bootstrap_server.split(',').map(|server| server.trim().to_owned());
    ClientConfig {
        bootstrap_servers: servers.collect(),
        default_api_timeout: PATIENCE,
        socket_connection_setup_timeout: Duration::from_secs(5),
        ..ClientConfig::default()
    }
}

/// What the client says of a server that takes a connection and is silent on it.
const NO_ANSWER: &str = "no answer to ApiVersions";

/// Tries every server once: a person wants to hear at once that nobody is there, not after many attempts.
async fn reach<E: Env>(env: &E, config: &ClientConfig) -> Result<(), Failed> {
    let mut last = None;
    for server in &config.bootstrap_servers {
        let Some((host, port)) = split_server(server) else {
            return Err(Failed {
                error: format!("{server:?} is not an address"),
                hint: Some("give --bootstrap-server as host:port, for example 127.0.0.1:9092".to_owned()),
            });
        };
        match Connection::open(env, host, port, config).await {
            Ok(_reached) => return Ok(()),
            Err(error) if error.contains(NO_ANSWER) => {
                last = Some(format!("{server} takes connections and answers nothing ({error})"));
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| "no server is named".to_owned());
    Err(Failed { hint: connection_hint(&error), error })
}

fn split_server(server: &str) -> Option<(&str, u16)> {
    let (host, port) = server.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().ok().filter(|&port| port != 0)?;
    (!host.is_empty()).then_some((host, port))
}

fn connection_hint(error: &str) -> Option<String> {
    let hint = if error.contains("refused") {
        "is a broker running? start one with `ottla dev`, or name another with --bootstrap-server"
    } else if error.contains("resolve") {
        "check the host name given with --bootstrap-server"
    } else if error.contains(NO_ANSWER) {
        "somebody listens there and says nothing, as a broker does until it has found the leader of its quorum: do \
         more than half of the controllers run, and can they reach each other?"
    } else if error.contains("does not speak Kafka's protocol") {
        "something else listens there: check the port given with --bootstrap-server"
    } else {
        "check --bootstrap-server, and that the network lets you through"
    };
    Some(hint.to_owned())
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error: {}", self.error)?;
        match &self.hint {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<AdminError> for Failed {
    fn from(error: AdminError) -> Self {
        let hint = match &error {
            AdminError::Refused { error, .. } => code_hint(*error).map(str::to_owned),
            AdminError::Unreachable(text) => connection_hint(text),
            AdminError::Unknown(_) => Some("look at `ottla topics list` before you try again".to_owned()),
            AdminError::Unsupported(_) | AdminError::Bootstrap(_) => None,
        };
        Self { error: error.to_string(), hint }
    }
}

fn code_hint(code: ErrorCode) -> Option<&'static str> {
    match code {
        ErrorCode::MismatchedEndpointType => {
            Some("a controller listens there: name a broker with --bootstrap-server")
        }
        ErrorCode::UnknownTopicOrPartition => {
            Some("`ottla topics list` shows what there is, `ottla topics create NAME` makes a topic")
        }
        ErrorCode::InvalidReplicationFactor => {
            Some("--replication-factor cannot exceed the number of brokers; with one broker it is 1")
        }
        ErrorCode::InvalidConfig => Some("--config takes Kafka's topic options as NAME=VALUE"),
        ErrorCode::InvalidTopicException => {
            Some("names have up to 249 letters, digits, dots, underscores and hyphens")
        }
        _ => None,
    }
}
