//! What a principal may do, and how long it is to hold back: what handlers put into their responses about it.

use crate::node::context::{Operation, RequestContext, Resource};

/// For `throttle_time_ms`.
pub(super) fn throttle_time_ms(context: &RequestContext) -> i32 {
    i32::try_from(context.throttle().as_millis()).unwrap_or(i32::MAX)
}

/// For `topic_authorized_operations`: a bit per operation that the principal may do to the topic.
pub(super) fn topic_operations(context: &RequestContext, name: &str) -> i32 {
    use Operation::*;
    let all = [Read, Write, Create, Delete, Alter, Describe, DescribeConfigs, AlterConfigs];
    permitted(context, &all, Resource::Topic(name))
}

/// For `cluster_authorized_operations`, which whoever may not describe the cluster is not told.
pub(super) fn cluster_operations(context: &RequestContext) -> i32 {
    use Operation::*;
    let all = [Create, ClusterAction, DescribeConfigs, AlterConfigs, IdempotentWrite, Alter, Describe];
    if context.authorize(Describe, Resource::Cluster) {
        permitted(context, &all, Resource::Cluster)
    } else {
        0
    }
}

fn permitted(context: &RequestContext, operations: &[Operation], resource: Resource<'_>) -> i32 {
    let permitted = operations.iter().filter(|&&operation| context.authorize(operation, resource));
    permitted.fold(0, |bits, &operation| bits | 1 << code(operation))
}

/// Kafka's number of an operation: its bit.
fn code(operation: Operation) -> u32 {
    match operation {
        Operation::Read => 3,
        Operation::Write => 4,
        Operation::Create => 5,
        Operation::Delete => 6,
        Operation::Alter => 7,
        Operation::Describe => 8,
        Operation::ClusterAction => 9,
        Operation::DescribeConfigs => 10,
        Operation::AlterConfigs => 11,
        Operation::IdempotentWrite => 12,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::test_cluster::context;
    use crate::wire::ApiKey;

    #[test]
    fn a_bit_per_operation_says_what_is_permitted() {
        let context = context(ApiKey::Metadata, 13);
        // Facts from Kafka, which without an authorizer answers these numbers.
        assert_eq!(topic_operations(&context, "t"), 0b1101_1111_1000);
        assert_eq!(cluster_operations(&context), 0b1_1111_1010_0000);
        assert_eq!(throttle_time_ms(&context), 0);
    }
}
