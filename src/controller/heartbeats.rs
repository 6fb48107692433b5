//! When each broker was heard of last: what the active controller alone knows, and no record says.
//!
//! A broker's session lives as long as it is heard of within `broker.session.timeout.ms`. A new active
//! controller begins with a session for every broker that is not fenced (KAFKA-18138): else one that died
//! together with the old controller would never be fenced. To be sure, a broker that is not fenced and has no
//! session at all counts as stale.
//!
//! A session belongs to one registration: another broker epoch has none. Nothing here needs to be undone when
//! a decision's records are not committed after all, for then this controller is no longer the active one and
//! drops it all.

use std::collections::BTreeMap;
use std::time::Duration;

use super::image::Image;
use crate::types::{BrokerEpoch, BrokerId, Mono, Offset};

/// The sessions of the brokers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heartbeats {
    timeout: Duration,
    sessions: BTreeMap<BrokerId, Session>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Session {
    epoch: BrokerEpoch,
    heard: Mono,
    /// The last metadata record that the broker is known to have applied.
    applied: Offset,
    /// What the others must have applied before the broker may stop.
    shutdown_offset: Option<Offset>,
}

impl Heartbeats {
    /// No sessions.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, sessions: BTreeMap::new() }
    }

    /// The sessions with which a new active controller begins.
    pub fn of_new_controller(timeout: Duration, image: &Image, now: Mono) -> Self {
        let mut heartbeats = Self::new(timeout);
        for broker in image.brokers().filter(|broker| !broker.fenced) {
            heartbeats.hear(broker.id, broker.epoch, Offset(-1), now);
        }
        heartbeats
    }

    /// Whether a registration has a session that has not expired.
    pub fn is_alive(&self, id: BrokerId, epoch: BrokerEpoch, now: Mono) -> bool {
        self.session(id, epoch).is_some_and(|session| now <= session.heard + self.timeout)
    }

    /// When the next session of a broker that is not fenced expires: when to look for stale brokers again.
    pub fn next_expiry(&self, image: &Image) -> Option<Mono> {
        let expiry = |broker: &super::image::BrokerRegistration| {
            let session = self.session(broker.id, broker.epoch);
            session.map_or(Mono::default(), |session| session.heard + self.timeout)
        };
        image.brokers().filter(|broker| !broker.fenced).map(|broker| expiry(broker)).min()
    }

    /// Notes a heartbeat that was checked.
    pub(super) fn hear(&mut self, id: BrokerId, epoch: BrokerEpoch, applied: Offset, now: Mono) {
        let known = self.session(id, epoch);
        let session = Session {
            epoch,
            heard: known.map_or(now, |known| known.heard.max(now)),
            applied,
            shutdown_offset: known.and_then(|known| known.shutdown_offset),
        };
        self.sessions.insert(id, session);
    }

    /// What the others must have applied before a broker may stop, if that is known.
    pub(super) fn shutdown_offset(&self, id: BrokerId, epoch: BrokerEpoch) -> Option<Offset> {
        self.session(id, epoch)?.shutdown_offset
    }

    /// Notes what the others must have applied before a broker may stop, unless that is known.
    pub(super) fn set_shutdown_offset(&mut self, id: BrokerId, epoch: BrokerEpoch, offset: Offset) {
        if let Some(session) = self.sessions.get_mut(&id).filter(|session| session.epoch == epoch) {
            session.shutdown_offset.get_or_insert(offset);
        }
    }

    /// Whether all active brokers have applied the record at `offset`.
    pub(super) fn all_have_applied(&self, image: &Image, offset: Offset) -> bool {
        image.brokers().filter(|broker| broker.is_active()).all(|broker| {
            self.session(broker.id, broker.epoch).is_some_and(|session| session.applied >= offset)
        })
    }

    fn session(&self, id: BrokerId, epoch: BrokerEpoch) -> Option<&Session> {
        self.sessions.get(&id).filter(|session| session.epoch == epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: BrokerId = BrokerId(1);
    const EPOCH: BrokerEpoch = BrokerEpoch(5);

    fn at(seconds: u64) -> Mono {
        Mono::default() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_session_lives_for_the_timeout_after_the_last_sign_of_life() {
        let mut heartbeats = Heartbeats::new(Duration::from_secs(9));
        heartbeats.hear(ID, EPOCH, Offset(0), at(1));
        assert!(heartbeats.is_alive(ID, EPOCH, at(10)) && !heartbeats.is_alive(ID, EPOCH, at(11)));
        heartbeats.hear(ID, EPOCH, Offset(0), at(5));
        assert!(heartbeats.is_alive(ID, EPOCH, at(14)) && !heartbeats.is_alive(ID, EPOCH, at(15)));
    }

    #[test]
    fn a_session_belongs_to_one_registration() {
        let mut heartbeats = Heartbeats::new(Duration::from_secs(9));
        heartbeats.hear(ID, EPOCH, Offset(0), at(1));
        heartbeats.set_shutdown_offset(ID, EPOCH, Offset(7));
        heartbeats.set_shutdown_offset(ID, EPOCH, Offset(8));
        heartbeats.hear(ID, EPOCH, Offset(9), at(2));
        assert_eq!(heartbeats.shutdown_offset(ID, EPOCH), Some(Offset(7)), "the first one stays");
        let next = BrokerEpoch(6);
        assert!(!heartbeats.is_alive(ID, next, at(2)));
        heartbeats.hear(ID, next, Offset(9), at(3));
        assert!(heartbeats.is_alive(ID, next, at(3)) && !heartbeats.is_alive(ID, EPOCH, at(3)));
        assert_eq!(heartbeats.shutdown_offset(ID, next), None);
    }
}
