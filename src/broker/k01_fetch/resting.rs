//! A follower's Fetch while nothing happens: no partition of it is looked at.
//!
//! Whoever was sent all there is, and has not changed what it asks for, is kept waiting until something happens on
//! this node, or its time is up. That a follower has all there is counts from the last Fetch that was looked at
//! (R4: `replica.lag.time.max.ms`): so each partition is, every now and then.

use super::{Fetching, Found};
use crate::broker::fetch_sessions::{FetchContext, Quiet};
use crate::env::{Clock, Env};
use crate::node::service::Answer;

/// How many times at least within `replica.lag.time.max.ms` the partitions of a follower are looked at.
const LOOKS_PER_LAG: u32 = 6;

impl<E: Env> Fetching<E> {
    /// Whether a look at this would find nothing that a follower does not have.
    pub(super) fn is_quiet(&self, found: &Found<E>) -> bool {
        // Who asks for nothing is answered at once.
        let waits = self.reader.is_follower() && self.min_bytes > 0;
        waits && !found.lacks_memory && found.partitions.iter().all(|partition| partition.at_end)
    }

    /// Since when nothing has happened, if nothing has since the last look, and that was not long ago.
    pub(super) fn quiet_still(&self, session: &FetchContext) -> Option<Quiet> {
        let Quiet { activity, at } = session.quiet?;
        let lag_time_max = self.broker.config.replication.lag_time_max;
        let age = self.broker.env.clock().now().since(at);
        let is_still = self.min_bytes > 0
            && age < lag_time_max / LOOKS_PER_LAG
            && self.broker.metadata.activity().count() == activity;
        is_still.then_some(Quiet { activity, at })
    }

    /// Waits until something happens, then goes on like any Fetch; answers that there is nothing if the time is up
    /// before.
    pub(super) async fn rest(self, mut session: FetchContext, quiet: Quiet) -> Answer {
        let clock = self.broker.env.clock().clone();
        let happened = self.broker.metadata.activity().beyond(quiet.activity);
        if clock.timeout_at(self.deadline, happened).await.is_none() {
            session.partitions.clear();
            let published = self.broker.metadata.current();
            return self.settle(&published, session, Found::nothing(0), Some(quiet));
        }
        match self.begin(session).await {
            Ok(answer) => answer,
            Err((session, activity)) => self.wait(session, activity).await,
        }
    }
}
