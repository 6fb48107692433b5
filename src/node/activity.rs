//! Whether anything has happened on this node that a follower's Fetch could bring.
//!
//! A follower asks several times a second for all that it follows. While nothing happens, nothing need be looked at:
//! one number for the whole node says so, and costs nothing per partition. It is raised after, or under the lock of,
//! whatever moves a position of a replica, ends its service, or changes the metadata. So who has read the number
//! before he looked, and finds it as it was, would find all as it was.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// The number. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Activity {
    shared: Arc<(AtomicU64, Notify)>,
}

impl Activity {
    /// Something has happened.
    pub(crate) fn happened(&self) {
        self.shared.0.fetch_add(1, Ordering::SeqCst);
        self.shared.1.notify_waiters();
    }

    /// How much has happened so far.
    pub fn count(&self) -> u64 {
        self.shared.0.load(Ordering::SeqCst)
    }

    /// Waits until more than `count` has happened. Cancel-safe.
    pub async fn beyond(&self, count: u64) {
        loop {
            // What happens between the look and the wait is told, too.
            let happened = self.shared.1.notified();
            if self.count() > count {
                return;
            }
            happened.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn whoever_waits_hears_of_what_happens_after_he_has_looked() {
        let activity = Activity::default();
        let before = activity.count();
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = pin!(activity.beyond(before));
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Pending);
        activity.clone().happened();
        assert_eq!(waiting.as_mut().poll(&mut context), Poll::Ready(()));
        let mut late = pin!(activity.beyond(before));
        assert_eq!(late.as_mut().poll(&mut context), Poll::Ready(()), "it has happened already");
        let mut next = pin!(activity.beyond(activity.count()));
        assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
    }
}
