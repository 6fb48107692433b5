//! Whole commands, from the command line to what they print.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use clap::Parser as _;
use tokio::io::AsyncWrite;

use ottla::cli::terminal::Terminal;
use ottla::cli::{Command, Connect, run};
use ottla::env::tokio::TokioEnv;
use ottla::env::{Clock as _, Env as _};

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    connect: Connect,
    #[command(subcommand)]
    command: Command,
}

/// What a command wrote; with `closed`, writing fails as into a pipe that nobody reads.
#[derive(Clone, Default)]
pub(crate) struct Written {
    bytes: Arc<Mutex<Vec<u8>>>,
    closed: bool,
}

impl Written {
    pub(crate) fn closed() -> Self {
        Self { closed: true, ..Self::default() }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().unwrap().clone()).unwrap()
    }
}

impl AsyncWrite for Written {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.bytes.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

pub(crate) struct Outcome {
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command line; the user interrupts it after a while.
pub(crate) async fn ottla(env: &TokioEnv, server: &str, line: &str, stdin: &str) -> Outcome {
    ottla_into(env, server, line, stdin, Written::default()).await
}

pub(crate) async fn ottla_into(
    env: &TokioEnv,
    server: &str,
    line: &str,
    stdin: &str,
    stdout: Written,
) -> Outcome {
    let words = ["ottla", "--bootstrap-server", server].into_iter().chain(line.split_whitespace());
    let line = Line::try_parse_from(words).unwrap();
    let stderr = Written::default();
    let clock = *env.clock();
    let terminal = Terminal {
        stdin: Box::new(io::Cursor::new(stdin.as_bytes().to_vec())),
        stdout: Box::new(stdout.clone()),
        stderr: Box::new(stderr.clone()),
        watched: false,
        interrupted: Box::pin(async move { clock.sleep(Duration::from_secs(2)).await }),
    };
    let code = run(env, &line.connect, line.command, terminal).await;
    let ok = format!("{code:?}") == format!("{:?}", std::process::ExitCode::SUCCESS);
    Outcome { ok, stdout: stdout.text(), stderr: stderr.text() }
}
