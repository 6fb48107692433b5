//! From what is committed to what is shown: replicas follow each image, then it is published.
//!
//! The quorum's task leaves the latest image here and never waits; opening logs takes as long as it takes, and
//! what has come meanwhile is applied in one step.
//!
//! Replicas are opened when the broker's own registration is in the metadata, with its new leader epochs: before
//! that nobody may lead, and what there was before a restart is no news.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;

use tokio::sync::{Notify, oneshot};

use super::housekeeping::Housekeeping;
use super::metadata::{Metadata, Published};
use super::replicas::{FoundReplicas, OpenReplicaError, Replicas};
use crate::controller::image::Image;
use crate::env::Env;
use crate::types::{BrokerEpoch, BrokerId, Offset};

/// Where the latest image lies until the publisher takes it. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Publishing {
    shared: Arc<(Mutex<Pending>, Notify)>,
}

#[derive(Default)]
struct Pending {
    latest: Option<(Arc<Image>, Offset)>,
}

impl Publishing {
    /// Leaves an image, and the end of the log that it comes from.
    pub(super) fn publish(&self, image: Arc<Image>, end: Offset) {
        self.lock().latest = Some((image, end));
        self.shared.1.notify_one();
    }

    async fn next(&self) -> (Arc<Image>, Offset) {
        loop {
            if let Some(latest) = self.lock().latest.take() {
                return latest;
            }
            self.shared.1.notified().await;
        }
    }

    /// Waits until there is something to take. A notice alone may be of an image that was taken since.
    async fn newer(&self) {
        while self.lock().latest.is_none() {
            self.shared.1.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.shared.0.lock().expect("nothing panics under this lock")
    }
}

/// The publisher's task.
pub(super) struct Publisher<E: Env> {
    pub(super) publishing: Publishing,
    pub(super) metadata: Metadata<E>,
    /// `None` on a node that is only a controller.
    pub(super) broker: Option<BrokerSide<E>>,
    /// Ends the task once the image at hand is shown.
    pub(super) stop: oneshot::Receiver<()>,
}

/// What follows the metadata on a broker.
pub(super) struct BrokerSide<E: Env> {
    pub(super) id: BrokerId,
    pub(super) replicas: Replicas<E>,
    pub(super) housekeeping: Housekeeping,
    /// How the directories were found. Taken when the replicas are opened.
    pub(super) found: Vec<FoundReplicas>,
    /// The epoch with which this run of the broker was registered, once it is known.
    pub(super) registered: Registered,
    /// Told when the replicas are open: the directories that were put away before, and can go.
    pub(super) opened: Option<oneshot::Sender<Vec<PathBuf>>>,
}

/// The broker epoch of this run. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Registered {
    shared: Arc<(Mutex<Option<BrokerEpoch>>, Notify)>,
}

impl Registered {
    pub(super) fn set(&self, epoch: BrokerEpoch) {
        *self.shared.0.lock().expect("nothing panics under this lock") = Some(epoch);
        self.shared.1.notify_waiters();
    }

    /// The epoch, once there is one.
    pub fn epoch(&self) -> Option<BrokerEpoch> {
        *self.shared.0.lock().expect("nothing panics under this lock")
    }

    async fn wait(&self) -> BrokerEpoch {
        loop {
            let notified = self.shared.1.notified();
            if let Some(epoch) = self.epoch() {
                return epoch;
            }
            notified.await;
        }
    }
}

impl<E: Env> Publisher<E> {
    /// Works until told to stop.
    pub(super) async fn run(mut self) -> Result<(), OpenReplicaError> {
        if let Some(opening) = &mut self.broker
            && !open(opening, &self.publishing, &self.metadata, &mut self.stop).await?
        {
            return Ok(());
        }
        while let Some((image, end)) = unless(&mut self.stop, self.publishing.next()).await {
            self.show(image, end).await?;
        }
        Ok(())
    }

    async fn show(&self, image: Arc<Image>, end: Offset) -> Result<(), OpenReplicaError> {
        let before = self.metadata.current();
        let Some(broker) = &self.broker else {
            self.metadata.publish(Published::bare(image, end));
            return Ok(());
        };
        let (published, put_away): (Published<E>, Vec<PathBuf>) =
            broker.replicas.apply(&before, image, end).await?;
        self.metadata.publish(published);
        broker.housekeeping.take_leave(put_away).await;
        Ok(())
    }
}

/// Shows the metadata without replicas, until the broker's registration is in them: then opens the replicas. Says
/// whether it came to that.
async fn open<E: Env>(
    broker: &mut BrokerSide<E>,
    publishing: &Publishing,
    metadata: &Metadata<E>,
    stop: &mut oneshot::Receiver<()>,
) -> Result<bool, OpenReplicaError> {
    loop {
        let Some((image, end)) = unless(stop, publishing.next()).await else { return Ok(false) };
        let registration = image.broker(broker.id).map(|registration| registration.epoch);
        metadata.publish(Published::bare(Arc::clone(&image), end));
        // The answer to the registration may come later than its record.
        let Some(epoch) = registration else { continue };
        let Some(registered) = unless(stop, broker.registered.wait_or(publishing)).await else {
            return Ok(false);
        };
        if registered != Some(epoch) {
            continue;
        }
        let (replicas, left) = broker.replicas.open_all(&image, &std::mem::take(&mut broker.found)).await?;
        let replicas = Arc::new(replicas);
        // Compared with nothing, so that every replica learns what it is: only now, in its new leader epoch.
        let nothing = Published { replicas, ..Published::bare(Arc::new(Image::empty()), Offset::ZERO) };
        let (published, _) = broker.replicas.apply(&nothing, image, end).await?;
        metadata.publish(published);
        let opened = broker.opened.take().expect("replicas are opened once");
        // Whoever waits for it may have been told to stop.
        let _ = opened.send(left);
        return Ok(true);
    }
}

impl Registered {
    /// The epoch; `None` if newer metadata come before it is known.
    async fn wait_or(&self, publishing: &Publishing) -> Option<BrokerEpoch> {
        let (mut epoch, mut newer) = (pin!(self.wait()), pin!(publishing.newer()));
        poll_fn(|context| {
            if let Poll::Ready(epoch) = epoch.as_mut().poll(context) {
                return Poll::Ready(Some(epoch));
            }
            newer.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}

/// What `future` comes to, unless it is time to stop.
async fn unless<T>(stop: &mut oneshot::Receiver<()>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if std::pin::Pin::new(&mut *stop).poll(context).is_ready() {
            return Poll::Ready(None);
        }
        future.as_mut().poll(context).map(Some)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_notice_of_metadata_that_were_taken_is_not_newer_metadata() {
        let (publishing, registered) = (Publishing::default(), Registered::default());
        let image = Arc::new(Image::empty());
        // Two images before the publisher looks: it is woken by the first, and a notice is left of the second.
        let mut next = pin!(publishing.next());
        let parked = poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending())).await;
        assert!(parked);
        publishing.publish(Arc::clone(&image), Offset(1));
        publishing.publish(image, Offset(2));
        assert_eq!(next.await.1, Offset(2));
        let registering = async {
            tokio::task::yield_now().await;
            registered.set(BrokerEpoch(7));
        };
        let (epoch, ()) = tokio::join!(registered.wait_or(&publishing), registering);
        assert_eq!(epoch, Some(BrokerEpoch(7)));
        // What is newer is noticed.
        let unknown = Registered::default();
        let leaving = async { publishing.publish(Arc::new(Image::empty()), Offset(3)) };
        assert_eq!(tokio::join!(unknown.wait_or(&publishing), leaving).0, None);
    }
}
