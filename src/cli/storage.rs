//! `ottla storage`: makes directories belong to a node of a cluster, with the options of Kafka's kafka-storage.

use std::path::PathBuf;
use std::process::ExitCode;

use super::broker::{load, parse, random_id};
use crate::env::Env;
use crate::node;
use crate::types::Uuid;

/// What to do with log directories.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum StorageCommand {
    /// Format the directories of a server.
    Format(FormatArgs),
    /// Print an id for a new cluster.
    RandomUuid,
}

/// Which directories, for which cluster.
#[derive(Debug, Clone, clap::Args)]
pub struct FormatArgs {
    /// The cluster's id: 22 characters, as `ottla storage random-uuid` prints them.
    #[arg(short = 't', long)]
    pub cluster_id: String,
    /// The server's properties.
    #[arg(short = 'c', long)]
    pub config: PathBuf,
    /// Leave directories alone that are formatted already.
    #[arg(short = 'g', long)]
    pub ignore_formatted: bool,
}

/// Carries out a command.
pub async fn run<E: Env>(env: E, command: StorageCommand) -> ExitCode {
    let outcome = match command {
        StorageCommand::RandomUuid => {
            println!("{}", random_id(&env, "random-uuid"));
            Ok(())
        }
        StorageCommand::Format(args) => format(&env, &args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

async fn format<E: Env>(env: &E, args: &FormatArgs) -> Result<(), String> {
    let id = &args.cluster_id;
    let valid = Uuid::parse(id).is_some_and(|id| !id.is_reserved());
    if !valid {
        return Err(format!(
            "{id:?} is no cluster id: it needs 22 characters of URL-safe base 64, as \
             `ottla storage random-uuid` prints them"
        ));
    }
    let config = parse(load(env, &args.config, &[]).await?)?;
    let formatted = node::is_formatted(env, &config).await.map_err(|error| error.to_string())?;
    if formatted && args.ignore_formatted {
        println!("the directories are formatted already");
        return Ok(());
    }
    if formatted {
        let paths: Vec<_> = config.log_dirs.iter().map(|path| path.display().to_string()).collect();
        return Err(format!(
            "{} is formatted already; --ignore-formatted leaves it as it is",
            paths.join(", ")
        ));
    }
    node::format(env, &config, id).await.map_err(|error| error.to_string())?;
    for path in &config.log_dirs {
        println!("formatted {} for cluster {id}, node {}", path.display(), config.node_id);
    }
    Ok(())
}
