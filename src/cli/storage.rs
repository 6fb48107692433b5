//! `ottla storage`: makes directories belong to a node of a cluster, with the options of Kafka's kafka-storage.

mod plan;

use std::path::PathBuf;
use std::process::ExitCode;

use super::broker::{load, parse, random_id};
use crate::env::Env;
use crate::node::{self, InitialVoters};

/// What to do with log directories.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum StorageCommand {
    /// Format the directories of a server.
    Format(FormatArgs),
    /// Print an id for a new cluster, or for a directory.
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
    /// This controller begins the quorum, alone. More can be added later.
    #[arg(short = 's', long, conflicts_with_all = ["no_initial_controllers", "initial_controllers"])]
    pub standalone: bool,
    /// This controller joins a quorum that exists, or is added to one later.
    #[arg(short = 'N', long, conflicts_with = "initial_controllers")]
    pub no_initial_controllers: bool,
    /// These controllers begin the quorum; the same on all nodes.
    #[arg(short = 'I', long, value_name = "ID@HOST:PORT:DIRECTORY-ID,...")]
    pub initial_controllers: Option<String>,
    /// The level of a feature, for example kraft.version=1.
    #[arg(short = 'f', long = "feature", value_name = "NAME=LEVEL")]
    pub features: Vec<String>,
    /// The release whose metadata format the cluster begins with.
    #[arg(short = 'r', long)]
    pub release_version: Option<String>,
}

/// Carries out a command.
pub async fn run<E: Env>(env: E, command: StorageCommand) -> ExitCode {
    let outcome = match command {
        StorageCommand::RandomUuid => Ok(vec![random_id(&env, "random-uuid").to_string()]),
        StorageCommand::Format(args) => format(&env, &args).await,
    };
    match outcome {
        Ok(lines) => {
            lines.iter().for_each(|line| println!("{line}"));
            ExitCode::SUCCESS
        }
        Err(text) => {
            eprintln!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

/// Formats directories, and returns what there is to say about it.
///
/// # Errors
///
/// What is wrong, and the way out. Nothing was written then, unless the disk failed.
pub async fn format<E: Env>(env: &E, args: &FormatArgs) -> Result<Vec<String>, String> {
    let config = parse(load(env, &args.config, &[]).await?)?;
    let plan = plan::plan(args, &config)?;
    let formatted = node::format_by(env, &config, &plan).await.map_err(|error| error.to_string())?;
    if formatted.iter().all(|directory| directory.purpose.is_none()) {
        return Ok(vec!["the directories are formatted already".to_owned()]);
    }
    let mut lines = Vec::new();
    for directory in formatted {
        let path = directory.path.display();
        lines.push(match directory.purpose {
            None => format!("{path} is formatted already"),
            Some(purpose) => {
                format!("formatted {path} as {purpose}: cluster {}, node {}", plan.cluster_id, config.node_id)
            }
        });
    }
    if let InitialVoters::Standalone(address) = &plan.voters {
        lines.push(format!("node {} begins the quorum, at {address}", config.node_id));
    }
    Ok(lines)
}
