//! The active controller: decides on top of what it has appended, answers once that is committed (rule 4).
//!
//! It is made when this node begins to lead the quorum, from what was committed by then, and dropped when it no
//! longer leads: whoever then still waits hears that this is not the controller. What becomes of the decisions
//! under way is the next leader's to know.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::controller::{Controller, Decision, Heartbeats, Metadata, Settings};
use crate::env::Rng;
use crate::node::metadata::NotDecided;
use crate::types::{LeaderEpoch, Mono, Offset};
use crate::wire::metadata::MetadataRecord;

/// What a decision may look at.
pub(crate) struct Desk<'a> {
    pub(crate) controller: &'a Controller,
    /// Sessions are the one thing that a decision may change at once.
    pub(crate) heartbeats: &'a mut Heartbeats,
    pub(crate) rng: &'a mut Rng,
    /// The offset that the first record of the decision will get.
    pub(crate) next_offset: Offset,
    pub(crate) now: Mono,
}

/// A question to the controller: it looks, decides, and says what to do once the records are committed.
pub(crate) type Command = Box<dyn FnOnce(&mut Desk<'_>) -> Undertaking + Send>;

/// A decision, and whom to tell.
pub(crate) struct Undertaking {
    pub(crate) records: Vec<MetadataRecord>,
    pub(crate) atomic: bool,
    pub(crate) done: Done,
}

/// Told once the records are committed: the end of the log with them; or why there is no decision.
pub(crate) type Done = Box<dyn FnOnce(Result<Offset, NotDecided>) + Send>;

/// What the controller does of itself, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ControllerTimers {
    /// `broker.session.timeout.ms`.
    pub(crate) session_timeout: Duration,
    /// `leader.imbalance.check.interval.seconds`; `None` without `auto.leader.rebalance.enable`.
    pub(crate) balance_interval: Option<Duration>,
    /// `unclean.leader.election.interval.ms`.
    pub(crate) leaderless_interval: Duration,
}

/// The controller while it is active.
pub(super) struct Active {
    pub(super) epoch: LeaderEpoch,
    controller: Controller,
    heartbeats: Heartbeats,
    rng: Rng,
    timers: ControllerTimers,
    /// What a new log begins with.
    bootstrap: Option<Arc<[MetadataRecord]>>,
    /// It has written what a new controller writes first.
    activated: bool,
    /// Once a broker counts as silent: how many messages that had come by then are still to be handled.
    unheard: Option<usize>,
    balance_due: Option<Mono>,
    leaderless_due: Mono,
    /// In the order of the offsets that they wait for.
    waiting: VecDeque<(Offset, Done)>,
}

impl Active {
    /// The controller of an epoch, on top of what is committed.
    pub(super) fn new(
        epoch: LeaderEpoch,
        settings: Settings,
        committed: Metadata,
        bootstrap: Option<Arc<[MetadataRecord]>>,
        timers: ControllerTimers,
        rng: Rng,
        now: Mono,
    ) -> Self {
        let heartbeats = Heartbeats::of_new_controller(timers.session_timeout, committed.published(), now);
        Self {
            epoch,
            controller: Controller::with_metadata(settings, committed),
            heartbeats,
            rng,
            timers,
            bootstrap,
            activated: false,
            unheard: None,
            balance_due: timers.balance_interval.map(|interval| now + interval),
            leaderless_due: now + timers.leaderless_interval,
            waiting: VecDeque::new(),
        }
    }

    /// Has a command decide.
    pub(super) fn decide(&mut self, command: Command, next_offset: Offset, now: Mono) -> Undertaking {
        let Self { controller, heartbeats, rng, .. } = self;
        command(&mut Desk { controller, heartbeats, rng, next_offset, now })
    }

    /// The records of a decision were appended: what is decided next builds on them.
    pub(super) fn replay(
        &mut self,
        base: Offset,
        records: &[MetadataRecord],
    ) -> Result<(), crate::controller::ReplayError> {
        for (offset, record) in (base.0..).map(Offset).zip(records) {
            self.controller.replay(offset, self.epoch, record)?;
        }
        Ok(())
    }

    /// Control records were appended.
    pub(super) fn skip(&mut self, offset: Offset) {
        self.controller.skip(offset, self.epoch);
    }

    /// Somebody waits for everything before `end` to be committed. A decision without records waits too: what it
    /// has looked at may not be committed yet.
    pub(super) fn wait(&mut self, end: Offset, done: Done) {
        assert!(self.waiting.back().is_none_or(|(last, _)| *last <= end), "decisions come in order");
        self.waiting.push_back((end, done));
    }

    /// Tells those who have waited for no more than `committed`.
    pub(super) fn release(&mut self, committed: Offset) {
        let count = self.waiting.partition_point(|(end, _)| *end <= committed);
        for (end, done) in self.waiting.drain(..count) {
            done(Ok(end));
        }
    }

    /// This node leads no more.
    pub(super) fn give_up(self) {
        for (_, done) in self.waiting {
            done(Err(NotDecided::NotController));
        }
    }

    /// When there may be something to do that nobody asks for.
    pub(super) fn next_deadline(&self) -> Mono {
        let expiry = self.heartbeats.next_expiry(self.controller.metadata().current());
        // A session lives up to and with its last instant.
        let expiry = expiry.map(|expiry| expiry + Duration::from_nanos(1));
        self.balance_due.into_iter().chain(expiry).fold(self.leaderless_due, Mono::min)
    }

    /// What a new controller writes first, once. Without it there are no features, and nobody could register: it
    /// comes before any decision.
    pub(super) fn activation(&mut self) -> Option<Undertaking> {
        let first = !std::mem::replace(&mut self.activated, true);
        first.then(|| undertaking(self.controller.activate(self.bootstrap.as_deref())))
    }

    /// A message has been handled.
    pub(super) fn heard(&mut self) {
        self.unheard = self.unheard.map(|unheard| unheard.saturating_sub(1));
    }

    /// One thing that is due; `arrived` messages are there to be handled. To be asked again until there is none.
    pub(super) fn due(&mut self, now: Mono, arrived: usize) -> Option<Undertaking> {
        if let Some(activation) = self.activation() {
            return Some(activation);
        }
        if let Some(fencing) = self.fence(now, arrived) {
            return Some(fencing);
        }
        if let Some(interval) = self.timers.balance_interval
            && self.balance_due.is_some_and(|due| due <= now)
        {
            let balancing = self.controller.balance_leaders();
            self.balance_due = Some(if balancing.response { now } else { now + interval });
            return Some(undertaking(balancing));
        }
        if self.leaderless_due <= now {
            let electing = self.controller.elect_leaderless();
            let pause = if electing.response { Duration::ZERO } else { self.timers.leaderless_interval };
            self.leaderless_due = now + pause;
            return Some(undertaking(electing));
        }
        None
    }
}

impl Active {
    /// Fences a broker whose session is over. Where this node itself was held up, by its disk say, the signs of life
    /// lie unread, and are heard first: else it would fence everybody.
    fn fence(&mut self, now: Mono, arrived: usize) -> Option<Undertaking> {
        let expiry = self.heartbeats.next_expiry(self.controller.metadata().current());
        if expiry.is_none_or(|expiry| expiry >= now) {
            self.unheard = None;
            return None;
        }
        if *self.unheard.get_or_insert(arrived) > 0 {
            return None;
        }
        let fencing = self.controller.fence_stale_broker(&self.heartbeats, now);
        let broker = fencing.response?;
        tracing::info!(%broker, "a broker was not heard of for too long, and is fenced");
        Some(undertaking(fencing))
    }
}

/// A decision that nobody waits for.
fn undertaking<R>(decision: Decision<R>) -> Undertaking {
    let Decision { records, atomic, .. } = decision;
    Undertaking { records, atomic, done: Box::new(|_| ()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::server::{ServerConfig, single_broker};
    use crate::env::{Env as _, Purpose, tokio::TokioEnv};
    use crate::wire::metadata::RegisterBrokerRecord;

    #[tokio::test]
    async fn nobody_is_fenced_before_what_has_arrived_is_heard() {
        let registration = RegisterBrokerRecord { broker_id: 5, fenced: false, ..Default::default() };
        let mut metadata = Metadata::empty();
        metadata.replay(Offset(0), LeaderEpoch(1), &registration.into()).expect("it can be applied");
        let config = ServerConfig::parse(single_broker("127.0.0.1:0", 0, "logs")).expect("it is right").0;
        let session_timeout = Duration::from_secs(9);
        let leaderless_interval = Duration::from_secs(3600);
        let timers = ControllerTimers { session_timeout, balance_interval: None, leaderless_interval };
        let settings = Settings::new("cluster".to_owned(), &config);
        let purpose = Purpose { subsystem: "test", what: "test", instance: 0 };
        let rng = TokioEnv::new().expect("a world").rng(purpose);
        let start = Mono::default();
        let mut active = Active::new(LeaderEpoch(1), settings, metadata, None, timers, rng, start);
        assert!(active.activation().is_some());

        let fenced = |undertaking: Option<Undertaking>| undertaking.is_some_and(|it| !it.records.is_empty());
        assert!(!fenced(active.due(start + session_timeout, 0)), "the session is not over");
        let late = start + session_timeout + Duration::from_secs(1);
        assert!(!fenced(active.due(late, 2)), "one of these may be its heartbeat");
        active.heard();
        assert!(!fenced(active.due(late, 7)), "what has come since does not count");
        active.heard();
        assert!(fenced(active.due(late, 7)));
    }
}
