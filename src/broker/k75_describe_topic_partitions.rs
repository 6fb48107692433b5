//! DescribeTopicPartitions (key 75), version 0: partitions with their ELR, page by page (KIP-966).
//!
//! - Topics come sorted by name; no topics in the request means all. A page has as many partitions as the
//!   request and `max.request.partition.size.limit` allow, at least one; `next_cursor` is where the next page
//!   begins.
//! - A cursor on a topic that the request does not name, or on a negative partition, is INVALID_REQUEST for
//!   all topics named.
//! - A topic that is named and does not exist is UNKNOWN_TOPIC_OR_PARTITION, and INVALID_TOPIC_EXCEPTION where
//!   it could not exist. Those that may not be described stand at the end, or are left out if all were asked
//!   for.

use std::collections::BTreeSet;

use super::Broker;
use super::admission::{throttle_time_ms, topic_operations};
use super::cluster_view::{ClusterView, ids};
use crate::controller::image::PartitionRegistration;
use crate::controller::names;
use crate::env::Env;
use crate::error_code::ErrorCode;
use crate::node::context::{Operation, RequestContext, Resource};
use crate::types::BrokerId;
use crate::wire::messages::describe_topic_partitions::*;

pub(super) async fn handle<E: Env>(
    broker: Broker<E>,
    context: RequestContext,
    request: DescribeTopicPartitionsRequest,
) -> DescribeTopicPartitionsResponse {
    let published = broker.metadata.current();
    let view = ClusterView::new(&published.image, &context.connection);
    let asked = usize::try_from(request.response_partition_limit).unwrap_or(0);
    let limit = asked.min(broker.config.max_request_partitions).max(1);
    let permitted = |name: &str| context.authorize(Operation::Describe, Resource::Topic(name));
    let mut response = page(view, &request, limit, permitted);
    tell_operations(&context, &mut response);
    DescribeTopicPartitionsResponse { throttle_time_ms: throttle_time_ms(&context), ..response }
}

/// Says what may be done to each topic. Of a request that cannot be, and of topics that are not theirs to see,
/// clients learn nothing.
fn tell_operations(context: &RequestContext, response: &mut DescribeTopicPartitionsResponse) {
    let silent = [ErrorCode::TopicAuthorizationFailed, ErrorCode::InvalidRequest];
    for topic in &mut response.topics {
        let told = !silent.iter().any(|code| code.code() == topic.error_code);
        if let Some(name) = topic.name.as_deref().filter(|_| told) {
            topic.topic_authorized_operations = topic_operations(context, name);
        }
    }
}

/// One page of at most `limit` partitions.
fn page(
    view: ClusterView<'_>,
    request: &DescribeTopicPartitionsRequest,
    limit: usize,
    permitted: impl Fn(&str) -> bool,
) -> DescribeTopicPartitionsResponse {
    let all = request.topics.is_empty();
    let start = request.cursor.clone().unwrap_or_default();
    let from_start = |name: &&str| *name >= start.topic_name.as_str();
    let asked: BTreeSet<&str> = if all {
        view.image.topics().map(|topic| topic.name.as_ref()).filter(from_start).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.as_str()).filter(from_start).collect()
    };
    let astray = !all && request.cursor.is_some() && !asked.contains(start.topic_name.as_str());
    if astray || start.partition_index < 0 {
        return invalid(request);
    }
    let (names, denied): (Vec<&str>, Vec<&str>) = asked.into_iter().partition(|name| permitted(name));
    let mut response = fill(view, &names, &start, limit, all);
    if !all {
        let code = ErrorCode::TopicAuthorizationFailed;
        response.topics.extend(denied.into_iter().map(|name| failed(name, code, false)));
    }
    response
}

/// The partitions of these topics in turn, from `start` on, as far as there is room.
fn fill(
    view: ClusterView<'_>,
    names: &[&str],
    start: &Cursor,
    mut room: usize,
    skip_missing: bool,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    for &name in names {
        let cursor = |partition_index| Some(Cursor { topic_name: name.to_owned(), partition_index });
        if room == 0 {
            response.next_cursor = cursor(0);
            break;
        }
        let Some(topic) = view.image.topic_named(name) else {
            if !skip_missing {
                response.topics.push(failed(name, missing(name), names::is_internal(name)));
            }
            continue;
        };
        let first = if name == start.topic_name { start.partition_index } else { 0 };
        let mut rest = topic.partitions.range(first..);
        let shown = rest.by_ref().take(room).map(|(&index, registered)| partition(view, index, registered));
        let partitions: Vec<_> = shown.collect();
        room -= partitions.len();
        response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.to_owned()),
            topic_id: topic.id,
            is_internal: names::is_internal(name),
            partitions,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
        if let Some((&index, _)) = rest.next() {
            response.next_cursor = cursor(index);
            break;
        }
    }
    response
}

fn partition(
    view: ClusterView<'_>,
    partition_index: i32,
    registered: &PartitionRegistration,
) -> DescribeTopicPartitionsResponsePartition {
    DescribeTopicPartitionsResponsePartition {
        error_code: ErrorCode::None.code(),
        partition_index,
        leader_id: view.leader(registered).unwrap_or(BrokerId::NONE).0,
        leader_epoch: registered.leader_epoch.0,
        replica_nodes: ids(&registered.replicas),
        isr_nodes: ids(&registered.isr),
        eligible_leader_replicas: Some(ids(&registered.elr)),
        last_known_elr: Some(ids(&registered.last_known_elr)),
        offline_replicas: view.offline_replicas(registered),
    }
}

fn missing(name: &str) -> ErrorCode {
    let possible = names::check(name).is_ok();
    if possible { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException }
}

fn failed(name: &str, code: ErrorCode, is_internal: bool) -> DescribeTopicPartitionsResponseTopic {
    DescribeTopicPartitionsResponseTopic {
        error_code: code.code(),
        name: Some(name.to_owned()),
        is_internal,
        ..DescribeTopicPartitionsResponseTopic::default()
    }
}

fn invalid(request: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let topics = request.topics.iter();
    DescribeTopicPartitionsResponse {
        topics: topics.map(|topic| failed(&topic.name, ErrorCode::InvalidRequest, false)).collect(),
        ..DescribeTopicPartitionsResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::{DIALLED, TestCluster, context};
    use crate::controller::Image;
    use crate::types::Uuid;
    use crate::wire::ApiKey;
    use crate::wire::metadata::PartitionChangeRecord;

    fn image() -> Image {
        TestCluster::new()
            .broker(1)
            .fenced_broker(2)
            .topic("b", 2000, 3, &[1, 2])
            .topic("a", 1000, 2, &[1])
            .topic("c", 3000, 1, &[2, 1])
            .image()
    }

    fn request(topics: &[&str], cursor: Option<(&str, i32)>) -> DescribeTopicPartitionsRequest {
        DescribeTopicPartitionsRequest {
            topics: topics.iter().map(|&name| TopicRequest { name: name.to_owned() }).collect(),
            cursor: cursor
                .map(|(topic, partition_index)| Cursor { topic_name: topic.to_owned(), partition_index }),
            ..DescribeTopicPartitionsRequest::default()
        }
    }

    fn ask(
        request: &DescribeTopicPartitionsRequest,
        limit: usize,
        denied: &str,
    ) -> DescribeTopicPartitionsResponse {
        let image = image();
        let view = ClusterView { image: &image, listener: "PLAINTEXT", dialled: DIALLED };
        page(view, request, limit, |name| name != denied)
    }

    /// A page as `topic:error[partitions]`, then the cursor.
    fn text(response: &DescribeTopicPartitionsResponse) -> String {
        let topics = response.topics.iter().map(|topic| {
            let partitions: Vec<i32> =
                topic.partitions.iter().map(|partition| partition.partition_index).collect();
            format!("{}:{}{partitions:?}", topic.name.as_deref().unwrap_or_default(), topic.error_code)
        });
        let cursor = response.next_cursor.as_ref();
        let cursor = cursor.map(|cursor| format!("-> {}-{}", cursor.topic_name, cursor.partition_index));
        topics.chain(cursor).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        for limit in 1..8 {
            let mut seen = Vec::new();
            let mut cursor: Option<Cursor> = None;
            loop {
                let request = DescribeTopicPartitionsRequest { cursor, ..request(&[], None) };
                let page = ask(&request, limit, "");
                let before = seen.len();
                for topic in &page.topics {
                    let name = topic.name.clone().expect("it has a name");
                    seen.extend(topic.partitions.iter().map(|part| (name.clone(), part.partition_index)));
                }
                assert!(seen.len() - before <= limit);
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
                assert!(seen.len() > before, "every page gets on");
            }
            let expected = [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("b", 2), ("c", 0)];
            assert_eq!(seen, expected.map(|(name, index)| (name.to_owned(), index)), "limit {limit}");
        }
    }

    #[test]
    fn the_cursor_is_where_the_next_page_begins() {
        assert_eq!(text(&ask(&request(&[], None), 100, "")), "a:0[0, 1] b:0[0, 1, 2] c:0[0]");
        assert_eq!(text(&ask(&request(&[], None), 2, "")), "a:0[0, 1] -> b-0");
        assert_eq!(text(&ask(&request(&[], None), 3, "")), "a:0[0, 1] b:0[0] -> b-1");
        assert_eq!(text(&ask(&request(&[], Some(("b", 2))), 100, "")), "b:0[2] c:0[0]");
        assert_eq!(text(&ask(&request(&[], Some(("b", 9))), 100, "")), "b:0[] c:0[0]");
        assert_eq!(text(&ask(&request(&[], Some(("aa", 7))), 1, "")), "b:0[0] -> b-1", "deleted meanwhile");
    }

    #[test]
    fn named_topics_have_errors_of_their_own() {
        assert_eq!(text(&ask(&request(&["c", "a"], None), 100, "")), "a:0[0, 1] c:0[0]");
        assert_eq!(text(&ask(&request(&["c", "no", "a b"], None), 100, "")), "a b:17[] c:0[0] no:3[]");
        assert_eq!(text(&ask(&request(&["c", "a"], None), 100, "a")), "c:0[0] a:29[]");
        assert_eq!(text(&ask(&request(&[], None), 100, "b")), "a:0[0, 1] c:0[0]", "nothing is disclosed");
    }

    #[test]
    fn a_cursor_astray_is_refused() {
        assert_eq!(text(&ask(&request(&["a", "c"], Some(("b", 0))), 100, "")), "a:42[] c:42[]");
        assert_eq!(text(&ask(&request(&["a"], Some(("a", -1))), 100, "")), "a:42[]");
        assert_eq!(text(&ask(&request(&["a", "c"], Some(("c", 0))), 100, "")), "c:0[0]");
    }

    #[test]
    fn operations_are_told_unless_the_request_is_refused() {
        let context = context(ApiKey::DescribeTopicPartitions, 0);
        let told = |request: &DescribeTopicPartitionsRequest| {
            let mut response = ask(request, 100, "");
            tell_operations(&context, &mut response);
            response.topics.iter().map(|topic| topic.topic_authorized_operations).collect::<Vec<_>>()
        };
        assert_eq!(told(&request(&["a", "no"], None)), [3576, 3576]);
        assert_eq!(told(&request(&["a", "c"], Some(("b", 0)))), [i32::MIN, i32::MIN], "refused");
    }

    #[test]
    fn kip_966_a_partition_shows_its_elr() {
        let cluster = TestCluster::new().broker(1).fenced_broker(2).topic("t", 1000, 1, &[1, 2]);
        let image = cluster
            .with(PartitionChangeRecord {
                partition_id: 0,
                topic_id: Uuid(1000),
                isr: Some(vec![1]),
                eligible_leader_replicas: Some(vec![2]),
                ..PartitionChangeRecord::default()
            })
            .image();
        let view = ClusterView { image: &image, listener: "PLAINTEXT", dialled: DIALLED };
        let response = page(view, &request(&["t"], None), 1, |_| true);
        let expected = DescribeTopicPartitionsResponsePartition {
            error_code: 0,
            partition_index: 0,
            leader_id: 1,
            leader_epoch: 5,
            replica_nodes: vec![1, 2],
            isr_nodes: vec![1],
            eligible_leader_replicas: Some(vec![2]),
            last_known_elr: Some(Vec::new()),
            offline_replicas: vec![2],
        };
        assert_eq!(response.topics[0].partitions, [expected]);
    }
}
