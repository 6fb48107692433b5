//! Which replica a consumer is sent to (KIP-392).

use super::{Brokers, Partition, Role};
use crate::types::{BrokerId, Offset};

impl Partition {
    /// The follower in the consumer's rack that it had better read from, as Kafka's rack-aware selector chooses;
    /// `None` if that is this leader, or this replica does not lead.
    ///
    /// Only members of the ISR whose brokers are active (KAFKA-14372, KAFKA-15390), and of these only those that
    /// have what the consumer asks for: one that lags would send it back, and be named again, without end. The
    /// most caught-up one is chosen, the largest id among equals.
    pub fn preferred_read_replica(
        &self,
        consumer_rack: &str,
        fetch_offset: Offset,
        brokers: &Brokers,
    ) -> Option<BrokerId> {
        let Role::Leader(leading) = &self.role else { return None };
        let in_rack =
            |id: &BrokerId| brokers.get(id).and_then(|broker| broker.rack.as_deref()) == Some(consumer_rack);
        if consumer_rack.is_empty() || !leading.serving || in_rack(&self.config.broker_id) {
            return None;
        }
        let candidates = leading.followers.iter().filter_map(|(id, follower)| {
            let fetched = follower.fetched?;
            let counted_end = fetched.counted_end.offset();
            let has_it = (fetched.log_start.offset()..=counted_end).contains(&fetch_offset);
            let readable =
                self.isr().contains(id) && brokers.get(id).is_some_and(|broker| broker.is_active());
            (has_it && readable && in_rack(id)).then_some((counted_end, follower.last_caught_up, *id))
        });
        candidates.max().map(|(_, _, id)| id)
    }
}
