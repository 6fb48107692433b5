//! The cluster's metadata on this node: what is published, and how it is changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use super::replica::Replica;
use crate::controller::image::Image;
use crate::controller::{Controller, Decision};
use crate::env::{Env, Rng};
use crate::types::{Offset, PartitionKey, Uuid};
use crate::wire::metadata::MetadataRecord;

/// The metadata at one offset, with this node's replicas that belong to it. A request takes it once and sees
/// one consistent picture.
pub struct Published<E: Env> {
    /// The metadata.
    pub image: Arc<Image>,
    /// The replicas on this node that are online.
    pub replicas: Arc<BTreeMap<PartitionKey, Arc<Replica<E>>>>,
}

impl<E: Env> Published<E> {
    /// The replica of a partition on this node.
    pub fn replica(&self, topic_id: Uuid, index: i32) -> Option<&Arc<Replica<E>>> {
        self.replicas.get(&PartitionKey { topic_id, index })
    }
}

impl<E: Env> Clone for Published<E> {
    fn clone(&self) -> Self {
        Self { image: Arc::clone(&self.image), replicas: Arc::clone(&self.replicas) }
    }
}

/// A handle to the metadata: reads what is published, asks the controller for changes. Clones share it.
pub struct Metadata<E: Env> {
    current: Arc<Mutex<Arc<Published<E>>>>,
    commands: mpsc::Sender<Command>,
}

/// What the controller is asked: a decision to make, and what to do once its records are committed.
pub(super) type Command = Box<dyn FnOnce(&Controller, &mut Rng, Offset) -> Undertaking + Send>;

/// A decision whose response is sent once its records are committed and published.
pub(super) struct Undertaking {
    pub(super) records: Vec<MetadataRecord>,
    pub(super) done: Box<dyn FnOnce(Result<(), NotDecided>) + Send>,
}

/// Why there is no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// The controller is gone: the node is stopping. Whether the decision took effect is unknown.
    #[error("the controller is shutting down")]
    Gone,
    /// Its records do not fit into one batch. Nothing has changed.
    #[error("the request asks for more changes than fit into one batch of metadata")]
    TooLarge,
}

/// Requests that may wait for the controller.
const COMMANDS_MAX: usize = 1024;

impl<E: Env> Metadata<E> {
    /// A handle to metadata of which nothing is published yet, and the queue that the controller works off.
    pub(super) fn new() -> (Self, mpsc::Receiver<Command>) {
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let nothing = Published { image: Arc::new(Image::empty()), replicas: Arc::default() };
        (Self { current: Arc::new(Mutex::new(Arc::new(nothing))), commands }, queue)
    }

    /// What is published now.
    pub fn current(&self) -> Arc<Published<E>> {
        Arc::clone(&self.current.lock().expect("nothing panics under this lock"))
    }

    pub(super) fn publish(&self, published: Published<E>) {
        *self.current.lock().expect("nothing panics under this lock") = Arc::new(published);
    }

    /// Has the controller decide, and returns its response once the decision is committed and published here.
    /// `decide` sees the controller, a generator for ids, and the offset that the first record will get.
    /// If this future is dropped, the decision takes effect all the same.
    ///
    /// # Errors
    ///
    /// [`NotDecided`].
    pub async fn decide<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&Controller, &mut Rng, Offset) -> Decision<R> + Send + 'static,
    ) -> Result<R, NotDecided> {
        let (sender, response) = oneshot::channel();
        let command: Command = Box::new(move |controller, rng, next_offset| {
            let Decision { records, response, .. } = decide(controller, rng, next_offset);
            let done = Box::new(move |committed: Result<(), NotDecided>| {
                // Whoever asked may have gone.
                let _ = sender.send(committed.map(|()| response));
            });
            Undertaking { records, done }
        });
        self.commands.send(command).await.map_err(|_| NotDecided::Gone)?;
        response.await.unwrap_or(Err(NotDecided::Gone))
    }
}

impl<E: Env> Clone for Metadata<E> {
    fn clone(&self) -> Self {
        Self { current: Arc::clone(&self.current), commands: self.commands.clone() }
    }
}
