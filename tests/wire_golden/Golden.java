// Writes messages with Kafka's own serializers: what wire_golden.rs compares ours with. With the jars of Kafka
// 4.3.1 (kafka-clients, kafka-metadata, kafka-raft and what they need) on the class path:
//
//     java -cp 'LIBS/*' Golden.java records > records.txt
//     java -cp 'LIBS/*' Golden.java messages > messages.txt
//     java -cp 'LIBS/*' Golden.java snapshot > ../fuzz/corpus/snapshot/java.checkpoint
//     java -cp 'LIBS/*' Golden.java org.apache.kafka.common.message.VoteRequestData ... > some.txt
//
// A line: the message's name, its version, its bytes (a record's with their frame), its content. No number and no
// text comes twice in a message, so that two fields which changed places are noticed.

import java.lang.reflect.Field;
import java.lang.reflect.Modifier;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.StringJoiner;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.VotersRecord;
import org.apache.kafka.common.metadata.MetadataRecordType;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.UnalignedMemoryRecords;
import org.apache.kafka.common.utils.ImplicitLinkedHashCollection;
import org.apache.kafka.common.utils.Time;
import org.apache.kafka.metadata.MetadataRecordSerde;
import org.apache.kafka.raft.VoterSet;
import org.apache.kafka.server.common.ApiMessageAndVersion;
import org.apache.kafka.server.common.KRaftVersion;
import org.apache.kafka.server.common.OffsetAndEpoch;
import org.apache.kafka.snapshot.RawSnapshotWriter;
import org.apache.kafka.snapshot.RecordsSnapshotWriter;

public class Golden {
    // Versions that kafka-protocol lacks.
    static final String[] MESSAGES = {
        "AddRaftVoterRequest:1", "AddRaftVoterResponse:1", "BrokerHeartbeatRequest:2", "BrokerHeartbeatResponse:2",
        "DescribeLogDirsRequest:5", "DescribeLogDirsResponse:5", "ListOffsetsRequest:11", "ListOffsetsResponse:11",
    };

    enum Shape { DEFAULT, FILLED, NULLS }

    final Shape shape;
    int next = 0;
    boolean flag;

    Golden(Shape shape) {
        this.shape = shape;
        this.flag = shape == Shape.NULLS;
    }

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("records")) {
            for (MetadataRecordType type : MetadataRecordType.values()) {
                all(type.newMetadataRecord().getClass());
            }
        } else if (arguments[0].equals("messages")) {
            for (String message : MESSAGES) {
                String[] parts = message.split(":");
                one(Class.forName("org.apache.kafka.common.message." + parts[0] + "Data"), Short.parseShort(parts[1]));
            }
        } else if (arguments[0].equals("snapshot")) {
            snapshot();
        } else {
            for (String name : arguments) {
                all(Class.forName(name));
            }
        }
    }

    static void all(Class<?> type) throws Exception {
        Message probe = (Message) type.getConstructor().newInstance();
        for (short version = probe.lowestSupportedVersion(); version <= probe.highestSupportedVersion(); version++) {
            one(type, version);
        }
    }

    static void one(Class<?> type, short version) throws Exception {
        String name = type.getSimpleName().replaceAll("Data$", "");
        Schema schema = ((Schema[]) type.getField("SCHEMAS").get(null))[version];
        for (Shape shape : Shape.values()) {
            Message message = (Message) new Golden(shape).filled(type, schema);
            String bytes = HexFormat.of().formatHex(written(message, version));
            System.out.println(name + " " + version + " " + bytes + " " + content(message));
        }
    }

    /** A snapshot with every record there is, in its highest version, and with voters. */
    static void snapshot() throws Exception {
        var voter = new VotersRecord.Voter().setVoterId(3).setVoterDirectoryId(new Uuid(7, 8));
        var endpoint = new VotersRecord.Endpoint().setName("CONTROLLER").setHost("h").setPort(9093);
        voter.setEndpoints(new VotersRecord.EndpointCollection(List.of(endpoint).iterator()));
        voter.setKRaftVersionFeature(new VotersRecord.KRaftVersionFeature().setMaxSupportedVersion((short) 1));
        var voters = VoterSet.fromVotersRecord(new VotersRecord().setVoters(List.of(voter)));
        var writer = new RecordsSnapshotWriter.Builder()
            .setRawSnapshotWriter(new Output())
            .setMaxBatchSizeBytes(512)
            .setLastContainedLogTimestamp(1_700_000_000_000L)
            .setTime(Time.SYSTEM)
            .setKraftVersion(KRaftVersion.KRAFT_VERSION_1)
            .setVoterSet(Optional.of(voters))
            .build(MetadataRecordSerde.INSTANCE);
        for (MetadataRecordType type : MetadataRecordType.values()) {
            Class<?> of = type.newMetadataRecord().getClass();
            short version = type.highestSupportedVersion();
            Schema schema = ((Schema[]) of.getField("SCHEMAS").get(null))[version];
            ApiMessage record = (ApiMessage) new Golden(Shape.FILLED).filled(of, schema);
            writer.append(List.of(new ApiMessageAndVersion(record, version)));
        }
        writer.freeze();
    }

    /** Standard output as a snapshot's file. */
    static class Output implements RawSnapshotWriter {
        long size = 0;
        boolean frozen = false;
        public OffsetAndEpoch snapshotId() { return new OffsetAndEpoch(100, 5); }
        public long sizeInBytes() { return size; }
        public void append(UnalignedMemoryRecords records) { append(records.buffer()); }
        public void append(MemoryRecords records) { append(records.buffer()); }
        void append(ByteBuffer bytes) {
            byte[] copy = new byte[bytes.remaining()];
            bytes.duplicate().get(copy);
            System.out.write(copy, 0, copy.length);
            size += copy.length;
        }
        public boolean isFrozen() { return frozen; }
        public void freeze() { frozen = true; System.out.flush(); }
        public void close() { }
    }

    static byte[] written(Message message, short version) {
        ByteBuffer bytes;
        if (message.getClass().getPackageName().equals("org.apache.kafka.common.metadata")) {
            var whole = new ApiMessageAndVersion((ApiMessage) message, version);
            var cache = new ObjectSerializationCache();
            bytes = ByteBuffer.allocate(MetadataRecordSerde.INSTANCE.recordSize(whole, cache));
            MetadataRecordSerde.INSTANCE.write(whole, cache, new ByteBufferAccessor(bytes));
            bytes.flip();
        } else {
            bytes = MessageUtil.toByteBufferAccessor(message, version).buffer();
        }
        byte[] written = new byte[bytes.remaining()];
        bytes.get(written);
        return written;
    }

    /** A structure in which every field that the schema has is set. */
    Object filled(Class<?> type, Schema schema) throws Exception {
        Object it = type.getConstructor().newInstance();
        if (shape == Shape.DEFAULT) {
            return it;
        }
        Map<String, Field> fields = new TreeMap<>();
        for (Field field : fields(type)) {
            fields.put(plain(field.getName()), field);
        }
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                for (var tagged : ((TaggedFields) bound.def.type).fields().values()) {
                    set(it, fields.get(plain(tagged.name)), tagged.type);
                }
            } else {
                set(it, fields.get(plain(bound.def.name)), bound.def.type);
            }
        }
        return it;
    }

    void set(Object it, Field field, org.apache.kafka.common.protocol.types.Type type) throws Exception {
        field.setAccessible(true);
        field.set(it, value(field.getType(), field.getGenericType(), type));
    }

    @SuppressWarnings("unchecked")
    Object value(Class<?> in, Type generic, org.apache.kafka.common.protocol.types.Type type) throws Exception {
        if (shape == Shape.NULLS && type.isNullable()) {
            return null;
        }
        next += 1;
        int sign = shape == Shape.NULLS ? -1 : 1;
        if (in == boolean.class) return flag = !flag;
        if (in == byte.class) return (byte) (sign * next);
        if (in == short.class) return (short) (sign * (300 + next));
        // A 16-bit port is an int too, and has no sign.
        if (in == int.class) return type.toString().equals("UINT16") ? 65000 + next : sign * (70_000 + next);
        if (in == long.class) return sign * (5_000_000_000L + next);
        if (in == double.class) return sign * (next + 0.5);
        if (in == Uuid.class) return new Uuid(sign * 1000L * next, next);
        String text = shape == Shape.NULLS ? "" : "t" + next;
        if (in == String.class) return text;
        if (in == byte[].class) return text.getBytes(StandardCharsets.US_ASCII);
        if (in == ByteBuffer.class) return ByteBuffer.wrap(text.getBytes(StandardCharsets.US_ASCII));
        if (in.getSimpleName().equals("BaseRecords")) {
            return MemoryRecords.readableRecords(ByteBuffer.wrap(text.getBytes(StandardCharsets.US_ASCII)));
        }
        if (type instanceof Schema) return filled(in, (Schema) type);
        var element = type.arrayElementType().orElseThrow();
        boolean list = in == List.class;
        Collection<Object> values = list ? new ArrayList<>() : (Collection<Object>) in.getConstructor().newInstance();
        Type elements = list ? generic : in.getGenericSuperclass();
        Type of = ((ParameterizedType) elements).getActualTypeArguments()[0];
        for (int i = 0; i < (shape == Shape.FILLED ? 2 : 0); i++) {
            values.add(value(primitive((Class<?>) of), of, element));
        }
        return values;
    }

    static Class<?> primitive(Class<?> boxed) {
        return boxed == Integer.class ? int.class : boxed == Long.class ? long.class : boxed;
    }

    /** As Rust's `{:?}` has it, without the names of structures, without `Some` and `Uuid`. */
    static String content(Object value) throws Exception {
        if (value == null) return "None";
        if (value instanceof String) return "\"" + value + "\"";
        if (value instanceof byte[]) return "b\"" + new String((byte[]) value, StandardCharsets.US_ASCII) + "\"";
        if (value instanceof ByteBuffer bytes) return content(Arrays.copyOf(bytes.array(), bytes.limit()));
        if (value instanceof MemoryRecords) return content(((MemoryRecords) value).buffer());
        if (value instanceof Uuid uuid) {
            long high = uuid.getMostSignificantBits();
            return new BigInteger(String.format("%016x%016x", high, uuid.getLeastSignificantBits()), 16).toString();
        }
        if (value instanceof Collection) {
            StringJoiner list = new StringJoiner(", ", "[", "]");
            for (Object element : (Collection<?>) value) {
                list.add(content(element));
            }
            return list.toString();
        }
        if (!(value instanceof Message)) return value.toString();
        StringJoiner structure = new StringJoiner(", ", "{ ", " }").setEmptyValue("{}");
        for (Field field : fields(value.getClass())) {
            field.setAccessible(true);
            structure.add(snake(field.getName()) + ": " + content(field.get(value)));
        }
        return structure.toString();
    }

    /** The fields that the schema declares, in its order; but tagged fields by their tags, as we declare them. */
    static List<Field> fields(Class<?> type) throws Exception {
        boolean linked = ImplicitLinkedHashCollection.Element.class.isAssignableFrom(type);
        List<Field> fields = new ArrayList<>();
        for (Field field : type.getDeclaredFields()) {
            String name = field.getName();
            boolean link = linked && (name.equals("next") || name.equals("prev"));
            if (!Modifier.isStatic(field.getModifiers()) && !name.startsWith("_") && !link) {
                fields.add(field);
            }
        }
        Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
        List<String> tagged = new ArrayList<>();
        for (BoundField bound : schemas[schemas.length - 1].fields()) {
            if (bound.def.type instanceof TaggedFields) {
                ((TaggedFields) bound.def.type).fields().values().forEach(field -> tagged.add(plain(field.name)));
            }
        }
        List<Field> places = fields.stream().filter(field -> tagged.contains(plain(field.getName()))).toList();
        Comparator<Field> order = Comparator.comparing(field -> tagged.indexOf(plain(field.getName())));
        List<Field> byTag = places.stream().sorted(order).toList();
        return fields.stream().map(field -> places.contains(field) ? byTag.get(places.indexOf(field)) : field).toList();
    }

    /** A name in the one form that both schemas and classes have. */
    static String plain(String name) {
        return name.replace("_", "").toLowerCase();
    }

    static String snake(String camel) {
        return camel.replaceAll("([A-Z])", "_$1").toLowerCase().replaceAll("^_", "");
    }
}
