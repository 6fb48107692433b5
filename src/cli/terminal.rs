//! Where a command reads and writes. The real one is tokio's; tests have their own.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncBufRead, AsyncWrite, AsyncWriteExt as _, BufReader, BufWriter};

use super::{Failed, Stop};

/// The streams of a command.
pub struct Terminal {
    /// Where input comes from.
    pub stdin: Box<dyn AsyncBufRead + Send + Unpin>,
    /// Where results go; buffered.
    pub stdout: Box<dyn AsyncWrite + Send + Unpin>,
    /// Where everything else goes.
    pub stderr: Box<dyn AsyncWrite + Send + Unpin>,
    /// Whether somebody watches stderr.
    pub watched: bool,
    /// Ends when the user wants the command to end.
    pub interrupted: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Terminal {
    /// The process's own.
    pub fn of_process() -> Self {
        use std::io::IsTerminal as _;
        Self {
            stdin: Box::new(BufReader::new(tokio::io::stdin())),
            stdout: Box::new(BufWriter::with_capacity(64 << 10, tokio::io::stdout())),
            stderr: Box::new(tokio::io::stderr()),
            watched: io::stderr().is_terminal(),
            interrupted: Box::pin(async {
                // Without a handler for the signal, it ends the process by itself.
                if tokio::signal::ctrl_c().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }),
        }
    }

    /// Writes results.
    pub(super) async fn print(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.stdout.write_all(bytes).await.map_err(output_failed)
    }

    /// Makes sure that results are out.
    pub(super) async fn flush(&mut self) -> Result<(), Stop> {
        self.stdout.flush().await.map_err(output_failed)
    }

    /// Says something about the results, on a line of its own.
    pub(super) async fn say(&mut self, text: &str) {
        self.tell(&format!("{text}\n")).await;
    }

    /// Says something that the next thing said overwrites, if somebody watches.
    pub(super) async fn show(&mut self, text: &str) {
        if self.watched {
            self.tell(&format!("\r\x1b[K{text}")).await;
        }
    }

    /// Takes back what was shown.
    pub(super) async fn unshow(&mut self) {
        self.show("").await;
    }

    async fn tell(&mut self, text: &str) {
        // Nobody is left to be told if that fails.
        let _unheard = self.stderr.write_all(text.as_bytes()).await;
        let _unheard = self.stderr.flush().await;
    }
}

fn output_failed(error: io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::OutputClosed,
        _ => Stop::Failed(Failed { error: format!("cannot write to stdout: {error}"), hint: None }),
    }
}
