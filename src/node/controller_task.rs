//! The controller at work: decides, appends, replays, publishes, answers; one request after the other.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{mpsc, oneshot};

use super::housekeeping::Housekeeping;
use super::metadata::{Command, Metadata, NotDecided, Published};
use super::metadata_log::{MetadataLog, MetadataLogError, fits};
use super::replicas::{OpenReplicaError, Replicas};
use crate::controller::Controller;
use crate::env::{Env, Rng};

/// The controller and what it works with.
pub(super) struct ControllerTask<E: Env> {
    pub(super) controller: Controller,
    pub(super) log: MetadataLog<E>,
    pub(super) rng: Rng,
    pub(super) metadata: Metadata<E>,
    pub(super) replicas: Replicas<E>,
    pub(super) housekeeping: Housekeeping,
    pub(super) commands: mpsc::Receiver<Command>,
    /// Ends the task once the command under way is done.
    pub(super) stop: oneshot::Receiver<()>,
}

/// Why the controller stopped of itself. The node stops with it.
#[derive(Debug, thiserror::Error)]
pub enum ControllerFailure {
    /// The metadata log has failed.
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    /// A committed record could not be carried out.
    #[error("a replica cannot be opened: {0}")]
    Replica(#[from] OpenReplicaError),
}

impl<E: Env> ControllerTask<E> {
    /// Works until told to stop; then closes the metadata log.
    pub(super) async fn run(mut self) -> Result<(), ControllerFailure> {
        while let Some(command) = self.next().await {
            let undertaking = command(&self.controller, &mut self.rng, self.log.log_end());
            if !fits(&undertaking.records) {
                (undertaking.done)(Err(NotDecided::TooLarge));
                continue;
            }
            if !undertaking.records.is_empty() {
                self.log.append(&undertaking.records, &mut self.controller).await?;
                self.publish().await?;
            }
            (undertaking.done)(Ok(()));
        }
        self.log.close().await?;
        Ok(())
    }

    /// The next command; `None` once told to stop, or when nobody is left to ask.
    async fn next(&mut self) -> Option<Command> {
        let (commands, stop) = (&mut self.commands, &mut self.stop);
        std::future::poll_fn(|context| {
            if Pin::new(&mut *stop).poll(context).is_ready() {
                return Poll::Ready(None);
            }
            commands.poll_recv(context)
        })
        .await
    }

    /// Has the replicas follow what is committed, then shows it.
    async fn publish(&mut self) -> Result<(), ControllerFailure> {
        let image = Arc::new(self.controller.metadata().published().clone());
        let (published, put_away): (Published<E>, Vec<PathBuf>) =
            self.replicas.apply(&self.metadata.current(), image).await?;
        self.metadata.publish(published);
        self.housekeeping.take_leave(put_away).await;
        Ok(())
    }
}
