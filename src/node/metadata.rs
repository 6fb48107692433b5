//! The cluster's metadata on this node: what is published, and how it is changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, oneshot};

use super::activity::Activity;
use super::raft::{Command, Desk, Raft, Undertaking};
use super::replica::Replica;
use crate::controller::Decision;
use crate::controller::image::Image;
use crate::env::Env;
use crate::partition::Brokers;
use crate::types::{Offset, PartitionKey, Uuid};

/// The metadata at one offset, with this node's replicas that belong to it. A request takes it once and sees
/// one consistent picture.
pub struct Published<E: Env> {
    /// The metadata.
    pub image: Arc<Image>,
    /// The end of the metadata log that it comes from: everything before it is in the image.
    pub end: Offset,
    /// The brokers in it, as replicas see them.
    pub brokers: Arc<Brokers>,
    /// The replicas on this node that are online.
    pub replicas: Arc<BTreeMap<PartitionKey, Arc<Replica<E>>>>,
}

impl<E: Env> Published<E> {
    /// Metadata without replicas.
    pub(super) fn bare(image: Arc<Image>, end: Offset) -> Self {
        Self { image, end, brokers: Arc::default(), replicas: Arc::default() }
    }

    /// The replica of a partition on this node.
    pub fn replica(&self, topic_id: Uuid, index: i32) -> Option<&Arc<Replica<E>>> {
        self.replicas.get(&PartitionKey { topic_id, index })
    }
}

impl<E: Env> Clone for Published<E> {
    fn clone(&self) -> Self {
        Self {
            image: Arc::clone(&self.image),
            end: self.end,
            brokers: Arc::clone(&self.brokers),
            replicas: Arc::clone(&self.replicas),
        }
    }
}

/// A handle to the metadata: reads what is published, asks the controller on this node for changes. Clones share
/// it.
pub struct Metadata<E: Env> {
    shared: Arc<Shared<E>>,
    raft: Raft,
}

struct Shared<E: Env> {
    current: Mutex<Arc<Published<E>>>,
    /// Told whenever something is published.
    news: Notify,
    activity: Activity,
}

/// Why there is no decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDecided {
    /// The node is stopping. Whether the decision took effect is unknown.
    #[error("the controller is shutting down")]
    Gone,
    /// The controller on this node is not, or no longer, the active one. Whether the decision took effect is
    /// unknown.
    #[error("this is not the active controller")]
    NotController,
    /// Its records do not fit into one batch. Nothing has changed.
    #[error("the request asks for more changes than fit into one batch of metadata")]
    TooLarge,
}

impl<E: Env> Metadata<E> {
    /// A handle to metadata of which nothing is published yet.
    pub(super) fn new(raft: Raft) -> Self {
        let nothing = Published::bare(Arc::new(Image::empty()), Offset::ZERO);
        let shared = Shared {
            current: Mutex::new(Arc::new(nothing)),
            news: Notify::new(),
            activity: Activity::default(),
        };
        Self { shared: Arc::new(shared), raft }
    }

    /// What is published now.
    pub fn current(&self) -> Arc<Published<E>> {
        Arc::clone(&self.shared.current.lock().expect("nothing panics under this lock"))
    }

    pub(super) fn publish(&self, published: Published<E>) {
        *self.shared.current.lock().expect("nothing panics under this lock") = Arc::new(published);
        self.shared.activity.happened();
        self.shared.news.notify_waiters();
    }

    /// What has happened on this node: publications, and whatever replicas add to it.
    pub fn activity(&self) -> &Activity {
        &self.shared.activity
    }

    /// Waits until everything before `end` is published.
    pub(crate) async fn reached(&self, end: Offset) {
        loop {
            let news = self.shared.news.notified();
            if self.current().end >= end {
                return;
            }
            news.await;
        }
    }

    /// Has the controller on this node decide, and returns its response once the decision is committed, with the
    /// end of the log that it is in. If this future is dropped, the decision takes effect all the same.
    ///
    /// # Errors
    ///
    /// [`NotDecided`].
    pub(crate) async fn decide<R: Send + 'static>(
        &self,
        decide: impl FnOnce(&mut Desk<'_>) -> Decision<R> + Send + 'static,
    ) -> Result<(R, Offset), NotDecided> {
        let (sender, response) = oneshot::channel();
        let command: Command = Box::new(move |desk| {
            let Decision { records, atomic, response } = decide(desk);
            let done = Box::new(move |committed: Result<Offset, NotDecided>| {
                // Whoever asked may have gone.
                let _ = sender.send(committed.map(|end| (response, end)));
            });
            Undertaking { records, atomic, done }
        });
        self.raft.decide(command)?;
        // Who is not the active controller drops the question.
        response.await.unwrap_or(Err(NotDecided::NotController))
    }
}

impl<E: Env> Clone for Metadata<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), raft: self.raft.clone() }
    }
}
