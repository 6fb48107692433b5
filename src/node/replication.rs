//! What keeps replicas in step: those who fetch for the ones that follow, those who ask the controller for the ones
//! that lead, and those who tell it where they all lie.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::activity::Activity;
use super::assignments::Assignments;
use super::controller_channel::ControllerChannel;
use super::fetchers::{Fetchers, Route, Routes};
use super::flusher::FlushQueue;
use super::housekeeping::Housekeeping;
use super::isr::{IsrChanges, Proposal};
use super::metadata::Metadata;
use super::publisher::Registered;
use super::replica::Queues;
use super::throttles::Throttles;
use crate::config::server::ServerConfig;
use crate::env::{Env, Task};

/// The tasks. They end with it.
pub(super) struct Replication<E: Env> {
    fetchers: E::Task,
    routes: Routes<E>,
    isr_changes: E::Task,
    assignments: E::Task,
}

/// What the tasks read and replicas write.
pub(super) struct Inboxes<E: Env> {
    routes: mpsc::UnboundedReceiver<Route<E>>,
    proposals: mpsc::UnboundedReceiver<Proposal<E>>,
}

/// The queues that replicas write to.
pub(super) fn queues<E: Env>(housekeeping: Housekeeping, activity: Activity) -> (Queues<E>, Inboxes<E>) {
    let (routes, routing) = mpsc::unbounded_channel();
    let (proposals, proposed) = mpsc::unbounded_channel();
    let (flushes, preparations) = (FlushQueue::default(), FlushQueue::default());
    let queues = Queues { flushes, preparations, routes, proposals, housekeeping, activity };
    (queues, Inboxes { routes: routing, proposals: proposed })
}

impl<E: Env> Replication<E> {
    /// Starts the tasks. `channel` makes channels to the controller, each for one purpose alone.
    pub(super) fn start(
        env: &E,
        config: &Arc<ServerConfig>,
        (queues, inboxes): (&Queues<E>, Inboxes<E>),
        channel: impl Fn(&str) -> ControllerChannel<E>,
        registered: &Registered,
        metadata: &Metadata<E>,
        throttles: &Throttles,
    ) -> Self {
        let throttle = throttles.follower.clone();
        let fetchers = Fetchers::new(env.clone(), config, registered.clone(), throttle, inboxes.routes);
        let isr_changes = IsrChanges {
            env: env.clone(),
            own: config.node_id,
            channel: channel("isr"),
            registered: registered.clone(),
            metadata: metadata.clone(),
            proposals: inboxes.proposals,
            check_interval: config.replication.lag_time_max / 2,
            again: None,
        };
        let assignments = Assignments {
            env: env.clone(),
            own: config.node_id,
            channel: channel("assignments"),
            registered: registered.clone(),
            metadata: metadata.clone(),
        };
        Self {
            fetchers: env.spawn("fetchers", fetchers.run()),
            routes: queues.routes.clone(),
            isr_changes: env.spawn("isr-changes", isr_changes.run()),
            assignments: env.spawn("assignments", assignments.run()),
        }
    }

    /// Returns when nothing is appended to any log any more.
    pub(super) async fn stop(self) {
        // If nobody hears it, they have ended.
        let _ = self.routes.send(Route::Stop);
        self.fetchers.join().await;
        drop((self.isr_changes, self.assignments));
    }
}
