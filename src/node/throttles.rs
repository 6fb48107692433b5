//! Replication throttles, as `kafka-reassign-partitions --throttle` sets them: the rates are dynamic broker configs,
//! the replicas they are for stand in the topics' configs.
//!
//! | rate | counts | and keeps back, while it is exceeded |
//! |---|---|---|
//! | `leader.replication.throttled.rate` | what is sent of partitions with throttled replicas | records from throttled replicas out of sync |
//! | `follower.replication.throttled.rate` | what is fetched for throttled replicas | the Fetch for those out of sync |
//!
//! Replicas in sync are counted, but never kept back: else they would leave the ISR. The rate is that of the last
//! `replication.quota.window.num` windows of `replication.quota.window.size.seconds`. What is on its way is never
//! cut short: a rate is exceeded, and then there is a pause.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::config::server::ReplicationSettings;
use crate::types::Mono;

/// Both throttles of a broker. Clones share them.
#[derive(Debug, Clone)]
pub struct Throttles {
    /// For what is sent to followers.
    pub leader: Throttle,
    /// For what is fetched from leaders.
    pub follower: Throttle,
}

impl Throttles {
    /// Throttles that keep nothing back yet.
    pub fn new(settings: &ReplicationSettings) -> Self {
        let throttle = || Throttle { rate: Arc::new(Mutex::new(Rate::new(settings))) };
        Self { leader: throttle(), follower: throttle() }
    }
}

/// One throttle. Clones share it.
#[derive(Debug, Clone)]
pub struct Throttle {
    rate: Arc<Mutex<Rate>>,
}

impl Throttle {
    /// Sets what is allowed, in bytes per second.
    pub fn set(&self, allowed: u64) {
        self.with(|rate| rate.allowed = allowed);
    }

    /// Counts bytes.
    pub fn record(&self, bytes: u64, now: Mono) {
        if bytes > 0 {
            self.with(|rate| rate.record(bytes, now));
        }
    }

    /// Until when whatever is throttled is kept back; `None`: it is not.
    pub fn exceeded(&self, now: Mono) -> Option<Mono> {
        self.with(|rate| rate.exceeded(now))
    }

    fn with<R>(&self, f: impl FnOnce(&mut Rate) -> R) -> R {
        f(&mut self.rate.lock().expect("nothing panics under this lock"))
    }
}

/// A rate over the last windows, like Kafka's `SimpleRate`.
#[derive(Debug)]
struct Rate {
    /// Bytes per second.
    allowed: u64,
    window: Duration,
    /// How long a window counts from its beginning.
    memory: Duration,
    /// Where windows begin, and the bytes in them; the oldest first.
    windows: VecDeque<(Mono, u64)>,
}

impl Rate {
    fn new(settings: &ReplicationSettings) -> Self {
        let (window, count) = settings.quota_windows;
        Self { allowed: u64::MAX, window, memory: window.saturating_mul(count), windows: VecDeque::new() }
    }

    fn record(&mut self, bytes: u64, now: Mono) {
        self.forget(now);
        match self.windows.back_mut().filter(|(begin, _)| now < *begin + self.window) {
            Some((_, sum)) => *sum = sum.saturating_add(bytes),
            None => self.windows.push_back((now, bytes)),
        }
    }

    fn forget(&mut self, now: Mono) {
        while self.windows.front().is_some_and(|(begin, _)| *begin + self.memory <= now) {
            self.windows.pop_front();
        }
    }

    /// When the rate will have fallen to what is allowed, if nothing more is counted: as time goes by, and as
    /// windows are forgotten.
    fn exceeded(&mut self, now: Mono) -> Option<Mono> {
        self.forget(now);
        let mut until = None;
        let mut sum: u64 = self.windows.iter().map(|(_, bytes)| *bytes).fold(0, u64::saturating_add);
        for (begin, bytes) in &self.windows {
            // A rate over less than a window would mean nothing.
            let fallen = self.time_for(sum).map(|time| *begin + time.max(self.window));
            let is_full = self.time_for(sum).is_none_or(|time| time > self.window);
            let forgotten = *begin + self.memory;
            match fallen {
                _ if !is_full => return until,
                Some(fallen) if fallen <= until.unwrap_or(now) => return until,
                Some(fallen) if fallen <= forgotten => return Some(fallen),
                _ => until = Some(forgotten),
            }
            sum = sum.saturating_sub(*bytes);
        }
        until
    }

    /// How long so many bytes may take; `None`: for ever.
    fn time_for(&self, bytes: u64) -> Option<Duration> {
        match self.allowed {
            0 if bytes > 0 => None,
            allowed => {
                let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(allowed.max(1));
                u64::try_from(nanos).ok().map(Duration::from_nanos)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rate(allowed: u64) -> Rate {
        Rate { allowed, window: SECOND, memory: SECOND * 11, windows: VecDeque::new() }
    }

    fn at(millis: u64) -> Mono {
        Mono(0) + Duration::from_millis(millis)
    }

    #[test]
    fn a_rate_is_exceeded_until_time_has_made_up_for_it() {
        let mut rate = rate(1000);
        assert_eq!(rate.exceeded(at(0)), None);
        rate.record(900, at(0));
        assert_eq!(rate.exceeded(at(100)), None, "900 bytes in a second, however early");
        rate.record(2100, at(200));
        assert_eq!(rate.exceeded(at(300)), Some(at(3000)));
        assert_eq!(rate.exceeded(at(2999)), Some(at(3000)));
        assert_eq!(rate.exceeded(at(3000)), None);
        rate.record(1000, at(3000));
        assert_eq!(rate.exceeded(at(3001)), Some(at(4000)), "the last windows count as one");
    }

    #[test]
    fn windows_are_forgotten() {
        let mut rate = rate(1000);
        rate.record(500_000, at(0));
        assert_eq!(rate.exceeded(at(1)), Some(at(11_000)), "though 500 seconds would be due");
        rate.record(3000, at(10_000));
        assert_eq!(rate.exceeded(at(10_000)), Some(at(13_000)), "what counts then begins later");
        assert_eq!(rate.exceeded(at(11_000)), Some(at(13_000)));
        assert_eq!(rate.exceeded(at(13_000)), None);
        assert_eq!(rate.exceeded(at(60_000)), None);
        rate.record(500_000, at(60_000));
        rate.record(500, at(61_000));
        assert_eq!(rate.exceeded(at(62_000)), Some(at(71_000)), "not while the first still counts");
    }

    #[test]
    fn nothing_and_everything_may_be_allowed() {
        let (mut nothing, mut everything) = (rate(0), rate(u64::MAX));
        assert_eq!(nothing.exceeded(at(0)), None, "the first batch passes, as in Kafka");
        for rate in [&mut nothing, &mut everything] {
            rate.record(1, at(0));
            rate.record(u64::MAX, at(500));
        }
        assert_eq!(nothing.exceeded(at(600)), Some(at(11_000)));
        assert_eq!(everything.exceeded(at(1_600)), None);
    }

    #[test]
    fn a_new_limit_holds_at_once() {
        let settings = crate::config::server::ServerConfig::parse(crate::config::server::single_broker(
            "127.0.0.1:0",
            0,
            "/data",
        ));
        let throttles = Throttles::new(&settings.expect("it is complete").0.replication);
        let throttle = throttles.leader.clone();
        throttle.record(10_000, at(0));
        assert_eq!(throttle.exceeded(at(1)), None, "no limit is set");
        throttles.leader.set(1000);
        assert_eq!(throttle.exceeded(at(1)), Some(at(10_000)));
        assert_eq!(throttles.follower.exceeded(at(1)), None);
        throttle.set(u64::MAX);
        assert_eq!(throttle.exceeded(at(2)), None);
    }
}
