//! Who fetches for the replicas that follow: one task for each broker that leads some of them
//! (`num.replica.fetchers=1`; more of them are not used).
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
}

/// The task that minds those who fetch. They end with it.
pub(super) struct Fetchers<E: Env> {
    shared: Arc<Shared<E>>,
    inbox: mpsc::UnboundedReceiver<Route<E>>,
    endpoints: Endpoints,
    /// Whom each replica follows.
    leaders: BTreeMap<PartitionKey, BrokerId>,
    running: BTreeMap<BrokerId, Running<E>>,
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
        inbox: mpsc::UnboundedReceiver<Route<E>>,
    ) -> Self {
        let (own, settings) = (config.node_id, config.replication);
        let one_answer = usize::try_from(settings.fetch_response_max_bytes).unwrap_or(0);
        let budget = Budget::new("replication", BUDGET_BYTES.max(one_answer));
        Self {
            shared: Arc::new(Shared { env, own, settings, registered, budget }),
            inbox,
            endpoints: Endpoints::new(),
            leaders: BTreeMap::new(),
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
                    for (id, running) in &self.running {
                        running.inbox.tell(News::Address(endpoints.get(id).cloned()));
                    }
                    self.endpoints = endpoints;
                }
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
        if self.leaders.get(&key) != Some(&leader) {
            self.leave(key);
            self.leaders.insert(key, leader);
            let (shared, address) = (&self.shared, self.endpoints.get(&leader));
            let running =
                self.running.entry(leader).or_insert_with(|| Running::start(shared, leader, address));
            running.replicas += 1;
        }
        let inbox = &self.running[&leader].inbox;
        replica.fetched_by(Some(inbox.clone()));
        inbox.tell(News::Follow(Arc::clone(replica)));
    }

    /// Who fetches for nobody any more ends.
    fn leave(&mut self, key: PartitionKey) {
        let Some(leader) = self.leaders.remove(&key) else { return };
        let running = self.running.get_mut(&leader).expect("whoever is followed is fetched from");
        running.inbox.tell(News::Leave(key));
        running.replicas -= 1;
        if running.replicas == 0 {
            self.running.remove(&leader);
        }
    }
}

impl<E: Env> Running<E> {
    fn start(shared: &Arc<Shared<E>>, leader: BrokerId, address: Option<&HostPort>) -> Self {
        let (sender, news) = mpsc::unbounded_channel();
        let source = Source::new(Arc::clone(shared), leader, address.cloned(), news);
        let task = shared.env.spawn("replica-fetcher", source.run());
        Self { inbox: FetcherInbox(sender), replicas: 0, task }
    }
}
