//! What the metadata makes of a replica: leader, follower, or neither.

use std::sync::Arc;

use super::waiting::{AckFailure, Released};
use super::{Replica, State};
use crate::env::{Clock, Env, Event};
use crate::node::fetchers::{FetcherInbox, Route};
use crate::partition::{Applied, Brokers, Registration};

impl<E: Env> Replica<E> {
    /// Takes in what the controller has registered.
    pub fn apply(self: &Arc<Self>, registration: &Registration, brokers: &Arc<Brokers>) {
        let mut state = self.lock();
        let released = self.take_registration(&mut state, registration, brokers);
        drop(state);
        released.tell();
    }

    /// The same, under the lock.
    pub(super) fn take_registration(
        self: &Arc<Self>,
        state: &mut State<E>,
        registration: &Registration,
        brokers: &Arc<Brokers>,
    ) -> Released {
        let now = self.env.clock().now();
        match state.partition.apply(registration, brokers, now) {
            Applied::Stale | Applied::Following { restart: false, .. } => Released::default(),
            Applied::AfterTruncation => {
                state.after_truncation = Some((registration.clone(), Arc::clone(brokers)));
                Released::default()
            }
            Applied::Elected { epoch_start, advance } => {
                // The epoch is made durable before anything is appended or read in it (R1; see `preparation`). That
                // begins now, so that the first request hardly waits for it: the requests of a connection are
                // taken in turn, and with many partitions each would wait for one epoch after the other.
                state.epochs_needed = Some(state.partition.epochs_revision());
                self.env.observe(Event::LeaderElected {
                    partition: self.key,
                    leader: registration.leader,
                    leader_epoch: registration.leader_epoch,
                    epoch_start,
                });
                self.follow_nobody();
                let released = self.settle(state, advance);
                drop(self.prepare(state, None));
                released
            }
            Applied::Updated(advance) => self.settle(state, advance),
            Applied::Following { leader, restart: true } => {
                self.route(Route::Follow { replica: Arc::clone(self), leader });
                state.waiting.fail_all(AckFailure::NotLeader)
            }
            Applied::NotLeading => {
                self.follow_nobody();
                state.waiting.fail_all(AckFailure::NotLeader)
            }
        }
    }

    /// Nobody fetches for this replica any more.
    pub(super) fn follow_nobody(self: &Arc<Self>) {
        self.route(Route::Leave(Arc::clone(self)));
    }

    fn route(&self, route: Route<E>) {
        // A node that stops follows nobody.
        let _ = self.queues.routes.send(route);
    }

    /// Who fetches for this replica. The fetchers alone say so, in the order of the roles.
    pub(in crate::node) fn fetched_by(&self, fetcher: Option<FetcherInbox<E>>) {
        self.lock().fetcher = fetcher;
    }
}
