//! Who fetches for the replicas that follow: up to `num.replica.fetchers` tasks for each broker that leads some of
//! them, each with a connection and a fetch session of its own. The partitions of a topic are spread over them.
//!
//! Replicas say whom they follow ([`Route`]), in the order of the metadata; this task passes it on to those that
//! fetch, starts them and ends them. What becomes of answers is the replicas' own business
//! ([`Replica`](super::replica::Replica), `following`).

mod resting;
mod session;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use self::source::{News, Source};
use super::budget::Budget;
use super::publisher::Registered;
use super::replica::Replica;
use super::throttles::Throttle;
use crate::config::listeners::HostPort;
use crate::config::server::{ReplicationSettings, ServerConfig};
use crate::controller::image::Image;
use crate::env::{Env, Task};
use crate::types::{BrokerId, PartitionKey};

/// Memory for answers of leaders: apart from what clients take. As long as this many times
/// `replica.fetch.response.max.bytes` fit, nobody waits.
const BUDGET_BYTES: usize = 256 << 20;

/// Where replicas say whom they follow.
pub(super) type Routes<E> = mpsc::UnboundedSender<Route<E>>;

/// A change of what is fetched.
pub(super) enum Route<E: Env> {
    /// A replica follows, or begins to fetch anew.
    Follow { replica: Arc<Replica<E>>, leader: BrokerId },
    /// A replica follows no more.
    Leave(Arc<Replica<E>>),
    /// Where the other brokers can be reached.
    Endpoints(Endpoints),
    /// How many fetch from each broker: at least one.
    Fetchers(usize),
    /// The node stops: nothing is fetched any more.
    Stop,
}

/// Where brokers listen for each other.
pub(super) type Endpoints = BTreeMap<BrokerId, HostPort>;

/// Where the brokers of an image listen for each other.
pub(super) fn endpoints(image: &Image, listener: &str) -> Endpoints {
    let of = |broker: &Arc<crate::controller::image::BrokerRegistration>| {
        let endpoint = broker.endpoints.iter().find(|endpoint| endpoint.name == listener)?;
        // Who listens everywhere and does not say as whom is found by those who share the machine.
        let host = if endpoint.host.is_empty() { "localhost" } else { &endpoint.host };
        Some((broker.id, HostPort { host: host.to_owned(), port: endpoint.port }))
    };
    image.brokers().filter_map(of).collect()
}

/// One who fetches, as replicas know him. Clones are the same one.
pub(super) struct FetcherInbox<E: Env>(mpsc::UnboundedSender<News<E>>);

impl<E: Env> FetcherInbox<E> {
    /// What this partition fetches next may have changed.
    pub(super) fn due(&self, key: PartitionKey) {
        self.tell(News::Due(key));
    }

    fn tell(&self, news: News<E>) {
        // Who has ended fetches nothing.
        let _ = self.0.send(news);
    }
}

impl<E: Env> Clone for FetcherInbox<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// What all who fetch share.
pub(super) struct Shared<E: Env> {
    pub(super) env: E,
    pub(super) own: BrokerId,
    pub(super) settings: ReplicationSettings,
    pub(super) registered: Registered,
    pub(super) budget: Budget,
    /// For what is fetched for throttled replicas.
    pub(super) throttle: Throttle,
}

/// The task that minds those who fetch. They end with it.
pub(super) struct Fetchers<E: Env> {
    shared: Arc<Shared<E>>,
    inbox: mpsc::UnboundedReceiver<Route<E>>,
    endpoints: Endpoints,
    /// How many fetch from each broker.
    per_leader: usize,
    /// Who follows whom.
    followers: BTreeMap<PartitionKey, Follower<E>>,
    running: BTreeMap<Place, Running<E>>,
}

/// One of those who fetch: from whom, and which of them it is.
type Place = (BrokerId, usize);

struct Follower<E: Env> {
    replica: Arc<Replica<E>>,
    place: Place,
}

struct Running<E: Env> {
    inbox: FetcherInbox<E>,
    /// For how many replicas.
    replicas: usize,
    task: E::Task,
}

impl<E: Env> Fetchers<E> {
    pub(super) fn new(
        env: E,
        config: &ServerConfig,
        registered: Registered,
        throttle: Throttle,
        inbox: mpsc::UnboundedReceiver<Route<E>>,
    ) -> Self {
        let (own, settings) = (config.node_id, config.replication);
        let one_answer = usize::try_from(settings.fetch_response_max_bytes).unwrap_or(0);
        let budget = Budget::new("replication", BUDGET_BYTES.max(one_answer));
        Self {
            shared: Arc::new(Shared { env, own, settings, registered, budget, throttle }),
            inbox,
            endpoints: Endpoints::new(),
            per_leader: settings.fetchers.max(1),
            followers: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// Works until told to stop.
    pub(super) async fn run(mut self) {
        while let Some(route) = self.inbox.recv().await {
            match route {
                Route::Follow { replica, leader } => self.follow(&replica, leader),
                Route::Leave(replica) => {
                    self.leave(replica.key());
                    replica.fetched_by(None);
                }
                Route::Endpoints(endpoints) => {
                    for ((id, _), running) in &self.running {
                        running.inbox.tell(News::Address(endpoints.get(id).cloned()));
                    }
                    self.endpoints = endpoints;
                }
                Route::Fetchers(count) => self.spread(count.max(1)),
                Route::Stop => break,
            }
        }
        for (_, running) in std::mem::take(&mut self.running) {
            running.task.cancel();
            running.task.join().await;
        }
    }

    fn follow(&mut self, replica: &Arc<Replica<E>>, leader: BrokerId) {
        let key = replica.key();
        let place = (leader, which(key, self.per_leader));
        if self.followers.get(&key).is_none_or(|follower| follower.place != place) {
            self.leave(key);
            self.followers.insert(key, Follower { replica: Arc::clone(replica), place });
            let (shared, address) = (&self.shared, self.endpoints.get(&leader));
            let running = self.running.entry(place).or_insert_with(|| Running::start(shared, place, address));
            running.replicas += 1;
        }
        let inbox = &self.running[&place].inbox;
        replica.fetched_by(Some(inbox.clone()));
        inbox.tell(News::Follow(Arc::clone(replica)));
    }

    /// Who fetches for nobody any more ends.
    fn leave(&mut self, key: PartitionKey) {
        let Some(Follower { place, .. }) = self.followers.remove(&key) else { return };
        let running = self.running.get_mut(&place).expect("whoever is followed is fetched from");
        running.inbox.tell(News::Leave(key));
        running.replicas -= 1;
        if running.replicas == 0 {
            self.running.remove(&place);
        }
    }

    /// Has another number fetch from each broker. An answer that is under way to whoever fetched until now is
    /// dropped, or taken as that to the same Fetch of the one who fetches from now on.
    fn spread(&mut self, per_leader: usize) {
        self.per_leader = per_leader;
        let moving =
            self.followers.iter().filter(|(key, follower)| follower.place.1 != which(**key, per_leader));
        let moving: Vec<_> =
            moving.map(|(_, follower)| (Arc::clone(&follower.replica), follower.place.0)).collect();
        for (replica, leader) in moving {
            self.follow(&replica, leader);
        }
    }
}

/// Which of those who fetch from one broker fetches for a partition: a topic's partitions in turn, as in Kafka.
fn which(key: PartitionKey, count: usize) -> usize {
    let topic = key.topic_id.0 as u64 ^ (key.topic_id.0 >> 64) as u64;
    (topic.wrapping_add(u64::from(key.index.unsigned_abs())) % count as u64) as usize
}

impl<E: Env> Running<E> {
    fn start(shared: &Arc<Shared<E>>, place: Place, address: Option<&HostPort>) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        let source = Source::new(Arc::clone(shared), place, address.cloned(), news);
        let task = shared.env.spawn("replica-fetcher", source.run());
        Self { inbox: FetcherInbox(sender), replicas: 0, task }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Uuid;

    #[test]
    fn the_partitions_of_a_topic_are_spread_evenly() {
        for topic_id in [Uuid(7), Uuid(u128::MAX), Uuid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)] {
            for count in [1, 2, 3, 8] {
                let mut fetches = vec![0; count];
                (0..count as i32 * 5)
                    .for_each(|index| fetches[which(PartitionKey { topic_id, index }, count)] += 1);
                assert_eq!(fetches, vec![5; count]);
            }
        }
    }
}
