//! The `ottla` binary: arguments in, exit code out. The only place that names the real environment.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser;
use ottla::cli::broker::{DevArgs, ServerArgs};
use ottla::cli::storage::StorageCommand;
use ottla::cli::terminal::Terminal;
use ottla::cli::{self, Connect};
use ottla::env::tokio::TokioEnv;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// A Kafka-compatible broker in one binary, and the tools to use it.
#[derive(Debug, Parser)]
#[command(name = "ottla", version, about, max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    connect: Connect,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run a broker for development: no configuration, on loopback, data in ./ottla-data.
    Dev(DevArgs),
    /// Run a broker as its server.properties says.
    Server(ServerArgs),
    /// Format log directories.
    #[command(subcommand)]
    Storage(StorageCommand),
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    TokioEnv::install_panic_hook();
    init_log();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(run(arguments)),
        Err(error) => {
            eprintln!("error: the runtime does not start: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> ExitCode {
    let env = match TokioEnv::new() {
        Ok(env) => env,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    match arguments.command {
        Command::Dev(args) => {
            raise_file_limit();
            Box::pin(cli::broker::dev(env, args, stop_signal())).await
        }
        Command::Server(args) => {
            raise_file_limit();
            Box::pin(cli::broker::server(env, args, stop_signal())).await
        }
        Command::Storage(command) => cli::storage::run(env, command).await,
        Command::Client(command) => {
            Box::pin(cli::run(&env, &arguments.connect, command, Terminal::of_process())).await
        }
    }
}

/// Every partition has files open.
fn raise_file_limit() {
    if let Err(error) = TokioEnv::raise_file_limit() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// The first signal that asks to stop. A second one finds the default action, which ends the process at once.
async fn stop_signal() -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        // Without handlers a signal ends the process, as a crash would: that is safe.
        return std::future::pending().await;
    };
    std::future::poll_fn(|context| {
        if terminate.poll_recv(context).is_ready() {
            return std::task::Poll::Ready("SIGTERM");
        }
        interrupt.poll_recv(context).map(|_| "SIGINT")
    })
    .await
}

/// Warnings and errors by default; `OTTLA_LOG=info`, or `debug` for some rooms, says more.
fn init_log() {
    let given = std::env::var("OTTLA_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = given.unwrap_or_else(|| Targets::new().with_default(LevelFilter::WARN));
    let lines = tracing_subscriber::fmt::layer().with_ansi(std::io::stderr().is_terminal());
    let lines = lines.with_writer(std::io::stderr);
    tracing_subscriber::registry().with(lines.with_filter(filter)).init();
}
