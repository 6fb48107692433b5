"""Differences that are meant: a pattern over `API label path: kafka's value / ours`, and why."""
EXPECTED = {
    r"\.Configs\[flush\.messages\]": "Ottla's default is 1: a record counts once it is synced",
    r"^(CreateTopics|DescribeConfigs) .*\.Configs\[min\.insync\.replicas\]": "Ottla's default is 2",
    # What Kafka fails at is refused in words.
    r"ErrorCode: -1 / (35|40|42|44|76|87)$": "UNKNOWN_SERVER_ERROR in Kafka: an exception that nobody foresaw",
    r"ErrorMessage: None / 'words'$": "Ottla says why",
    r"^Produce null records : 'no answer' / ": "Kafka does not answer at all",
    r"^DescribeTopicPartitions (unknown and known|bad names) \.Topics": "an empty name fails the whole request in Kafka",
    r"^Fetch isolation (2|-1)": "Kafka fails at it; here each partition is told",
    r"^Fetch replica [015] ": "Kafka knows replicas, and here there are no followers yet",
    r"^ListOffsets .*, epoch -2 ": "Kafka's Fetch takes every negative epoch for none, its ListOffsets only -1",
    r"^Fetch (partition )?limit -1 ": "an exception in Kafka; here no limit lets less than one batch through",
    # Broken batches: see the top of src/wire/validate.rs.
    r"^Produce (one byte more|two batches, second cut) ": "Kafka drops what comes after the first batch, and acknowledges",
    r"^Produce (gzip|lz4) and one byte ": "the same within what is compressed",
    r"^Produce deltas (0, 2|0, 0|1, 2)": "Kafka stores offsets that are not there, or fails at them",
    r"^Produce attribute log append time ": "Kafka means to refuse this too, and does where it compares timestamps",
    r"^Produce producer id without epoch ": "a producer id without an epoch identifies nobody",
    r"^Produce .* to compressed-\w+, what was kept .*Records": "other libraries compress to other sizes",
    r"^Produce attribute transactional .*: 53 / 87$": "no producer id; Kafka looks for a transactional id first",
    r"^Produce .*LogStartOffset: -1 / 0$": "Kafka refuses this before it looks at the log; Ottla looks at both together",
    r"^Produce timeout (0|-1) ": "what is not synced in time is not acknowledged in time",
    # Answers that mirror the request, where Kafka's pass through maps.
    r"^(DeleteRecords|DeleteTopics by neither|DeleteTopics) twice": "each is answered",
    r"^DeleteRecords (a topic twice|no partitions) \.Topics": "each topic is answered by itself",
    r"^Produce a partition twice \.Responses": "both are appended and answered, Kafka drops the first",
    # Topics and configs.
    r"^Metadata .*: (3|\[\]|'no id') / (0|\[\{.*|'an unknown id')$": "a topic is created before the answer, not after it",
    r"^Metadata (colliding|created|created before) .*: 3 / 17$": "a name that collides is said to be wrong, not unknown",
    r"^CreateTopics colliding with each other": "Kafka looks for collisions among the topics that exist only",
    r"^CreateTopics config .*\.Value: '(  *1000 |\+5|delete,delete|compact, delete|TRUE)' / ": "values are stored plainly",
    r"^IncrementalAlterConfigs unknown topic, bad value.*: 40 / 3$": "the topic is looked for first",
    r"^DescribeConfigs topic, with synonyms \.Results\[\]\.Configs\[\S+\]\.Synonyms": "the broker's default is named as well",
    r"^DescribeConfigs (client metrics|group) ": "not there yet",
    r"^CreateTopics .*, checked only .*TopicId: 'an unknown id' / 'no id'": "no topic, no id",
    # Fetch.
    r"^Fetch (partition )?limit 1173 .*\('cut',\)": "a batch is sent as a whole",
    # ApiVersions.
    r"^ApiVersions .*(Supported|Finalized)Features": "one feature so far, at one level",
}
