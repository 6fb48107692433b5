import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.InvalidRecordException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.*;
import org.apache.kafka.common.serialization.*;

/**
 * Apache Kafka's own Java client: produce with every codec, with keys, headers and timestamps; consume from the
 * beginning, from an offset, from a timestamp; administration. Then reads every partition of every topic that
 * the other clients left, to the end.
 *
 * usage: java Suite BOOTSTRAP
 */
public class Suite {
    static final int RECORDS = 300;
    static final long BASE_TIMESTAMP_MS = 1_700_000_000_000L;
    static int passed = 0;
    static int failed = 0;
    static Map<String, Object> common;

    interface Case { void run() throws Exception; }

    static void check(String label, Case body) {
        try {
            body.run();
            passed++;
            System.out.println("ok    java: " + label);
        } catch (Throwable error) {
            failed++;
            System.out.println("FAIL  java: " + label);
            error.printStackTrace(System.out);
        }
    }

    static void require(boolean condition, String otherwise) {
        if (!condition) throw new AssertionError(otherwise);
    }

    static ProducerRecord<String, String> record(String topic, String codec, int index) {
        String key = index % 10 == 9 ? null : "key-" + index;
        String value = codec + "-" + index + "-" + "x".repeat(index % 97);
        ProducerRecord<String, String> record =
            new ProducerRecord<>(topic, 0, BASE_TIMESTAMP_MS + index * 1000L, key, value);
        record.headers().add("index", String.valueOf(index).getBytes(StandardCharsets.UTF_8));
        record.headers().add("none", null);
        return record;
    }

    static long produce(String topic, String codec, Map<String, Object> extra) throws Exception {
        Map<String, Object> config = new HashMap<>(common);
        config.put("compression.type", codec);
        config.put("linger.ms", 5);
        config.putAll(extra);
        long first = -1;
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            List<Future<RecordMetadata>> answers = new ArrayList<>();
            for (int index = 0; index < RECORDS; index++) answers.add(producer.send(record(topic, codec, index)));
            for (int index = 0; index < RECORDS; index++) {
                RecordMetadata answer = answers.get(index).get(30, TimeUnit.SECONDS);
                if (index == 0) first = answer.offset();
                require(!answer.hasOffset() || answer.offset() == first + index, "offset " + answer.offset());
            }
        }
        return first;
    }

    static KafkaConsumer<String, String> consumer() {
        Map<String, Object> config = new HashMap<>(common);
        config.put("enable.auto.commit", false);
        config.put("auto.offset.reset", "earliest");
        return new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer());
    }

    static void expect(KafkaConsumer<String, String> consumer, TopicPartition partition, String codec, int first) {
        long deadline = System.currentTimeMillis() + 30_000;
        int index = first;
        while (index < RECORDS) {
            require(System.currentTimeMillis() < deadline, "stopped at record " + index);
            for (ConsumerRecord<String, String> got : consumer.poll(Duration.ofMillis(500))) {
                ProducerRecord<String, String> want = record(partition.topic(), codec, index);
                require(got.offset() == index, "offset " + got.offset() + ", expected " + index);
                require(Objects.equals(got.key(), want.key()), "key " + got.key());
                require(Objects.equals(got.value(), want.value()), "value " + got.value());
                require(got.timestamp() == want.timestamp(), "timestamp " + got.timestamp());
                require(got.headers().equals(want.headers()), "headers " + got.headers());
                index++;
            }
        }
        require(index == RECORDS, "more records than were produced");
    }

    static void roundTrip(String topic, String codec) throws Exception {
        require(produce(topic, codec, Map.of("acks", "all")) == 0, "first offset is not 0");
        TopicPartition partition = new TopicPartition(topic, 0);
        try (KafkaConsumer<String, String> consumer = consumer()) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            expect(consumer, partition, codec, 0);
            consumer.seek(partition, 117);
            expect(consumer, partition, codec, 117);
            long at = consumer.offsetsForTimes(Map.of(partition, BASE_TIMESTAMP_MS + 41_000L - 1)).get(partition).offset();
            require(at == 41, "timestamp lookup found " + at);
            consumer.seek(partition, at);
            expect(consumer, partition, codec, 41);
            require(consumer.endOffsets(List.of(partition)).get(partition) == RECORDS, "end offset");
        }
    }

    static Throwable failure(Future<?> future) throws Exception {
        try {
            future.get(20, TimeUnit.SECONDS);
        } catch (ExecutionException error) {
            return error.getCause();
        }
        throw new AssertionError("it succeeded");
    }

    static void administration(Admin admin) throws Exception {
        require(admin.describeCluster().nodes().get().size() == 1, "nodes");
        require(admin.describeCluster().clusterId().get().length() == 22, "cluster id");
        admin.createTopics(List.of(new NewTopic("java-admin", 3, (short) 1)
            .configs(Map.of("cleanup.policy", "compact")))).all().get();
        require(failure(admin.createTopics(List.of(new NewTopic("java-admin", 1, (short) 1))).all())
            instanceof TopicExistsException, "exists");
        require(failure(admin.createTopics(List.of(new NewTopic("bad name", 1, (short) 1))).all())
            instanceof InvalidTopicException, "name");
        require(failure(admin.createTopics(List.of(new NewTopic("java-rf", 1, (short) 9))).all())
            instanceof InvalidReplicationFactorException, "replication factor");
        require(failure(admin.createTopics(List.of(new NewTopic("java-cfg", 1, (short) 1)
            .configs(Map.of("no.such.config", "1")))).all()) instanceof InvalidConfigurationException, "config");
        TopicDescription described = admin.describeTopics(List.of("java-admin")).allTopicNames().get().get("java-admin");
        require(described.partitions().size() == 3, "partitions");
        admin.createPartitions(Map.of("java-admin", NewPartitions.increaseTo(5))).all().get();
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, "java-admin");
        Config config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        require(config.get("cleanup.policy").value().equals("compact"), "cleanup.policy");
        require(config.get("cleanup.policy").source() == ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, "source");
        admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(
            new ConfigEntry("cleanup.policy", "delete"), AlterConfigOp.OpType.APPEND)))).all().get();
        config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        require(config.get("cleanup.policy").value().equals("compact,delete"), config.get("cleanup.policy").value());
        admin.deleteTopics(List.of("java-admin")).all().get();
        require(failure(admin.deleteTopics(List.of("java-admin")).all())
            instanceof UnknownTopicOrPartitionException, "unknown topic");
    }

    static void keylessRecordOnCompactedTopic(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic("java-compacted", 1, (short) 1)
            .configs(Map.of("cleanup.policy", "compact")))).all().get();
        try (KafkaProducer<String, String> producer =
                 new KafkaProducer<>(common, new StringSerializer(), new StringSerializer())) {
            Throwable cause = failure(producer.send(new ProducerRecord<>("java-compacted", null, "no key")));
            require(cause instanceof InvalidRecordException, "cause " + cause);
            producer.send(new ProducerRecord<>("java-compacted", "key", "value")).get(20, TimeUnit.SECONDS);
        }
    }

    static void readEverything(Admin admin) throws Exception {
        Set<String> topics = admin.listTopics().names().get();
        try (KafkaConsumer<String, String> consumer = consumer()) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (TopicDescription topic : admin.describeTopics(topics).allTopicNames().get().values())
                topic.partitions().forEach(p -> partitions.add(new TopicPartition(topic.name(), p.partition())));
            Map<TopicPartition, Long> first = consumer.beginningOffsets(partitions);
            Map<TopicPartition, Long> end = consumer.endOffsets(partitions);
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            Map<TopicPartition, Long> next = new HashMap<>(first);
            long deadline = System.currentTimeMillis() + 60_000;
            while (!next.equals(end)) {
                require(System.currentTimeMillis() < deadline, "at " + next + " of " + end);
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(500))) {
                    TopicPartition partition = new TopicPartition(record.topic(), record.partition());
                    require(record.offset() == next.get(partition), partition + " jumped to " + record.offset());
                    next.put(partition, record.offset() + 1);
                }
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        common = Map.of("bootstrap.servers", arguments[0]);
        try (Admin admin = Admin.create(common)) {
            for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
                String topic = "java-" + codec;
                check("create " + topic, () -> admin.createTopics(List.of(new NewTopic(topic, 2, (short) 1))).all().get());
                check("round trip " + codec, () -> roundTrip(topic, codec));
            }
            for (String acks : List.of("0", "1"))
                check("acks=" + acks + ", topic auto-created",
                    () -> produce("java-acks-" + acks, "none", Map.of("acks", acks, "enable.idempotence", false)));
            check("administration", () -> administration(admin));
            check("a record without a key on a compacted topic", () -> keylessRecordOnCompactedTopic(admin));
            check("read all that every client wrote", () -> readEverything(admin));
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }
}
