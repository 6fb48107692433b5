// kafkajs as a producer: every codec it has (none, gzip), keys, headers and timestamps; read back by offset.
// usage: node suite.js BOOTSTRAP
const { Kafka, CompressionTypes, logLevel } = require('kafkajs');

const RECORDS = 300;
const BASE_TIMESTAMP_MS = 1700000000000;

const record = (codec, index) => ({
  key: index % 10 === 9 ? null : `key-${index}`,
  value: `${codec}-${index}-` + 'x'.repeat(index % 97),
  headers: { index: String(index), codec },
  timestamp: String(BASE_TIMESTAMP_MS + index * 1000),
  partition: 0,
});

async function main() {
  const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  await admin.connect();
  let passed = 0, failed = 0;
  const check = async (label, run) => {
    try { await run(); passed++; console.log(`ok    kafkajs: ${label}`); }
    catch (error) { failed++; console.log(`FAIL  kafkajs: ${label}`); console.log(error); }
  };
  for (const [codec, compression] of [['none', CompressionTypes.None], ['gzip', CompressionTypes.GZIP]]) {
    for (const idempotent of [false, true]) {
      const topic = `kafkajs-${codec}-${idempotent ? 'idempotent' : 'plain'}`;
      await check(`create ${topic}`, async () => {
        await admin.createTopics({ topics: [{ topic, numPartitions: 2, replicationFactor: 1 }] });
      });
      await check(`produce ${topic}`, async () => {
        const producer = kafka.producer({ idempotent, maxInFlightRequests: 1 });
        await producer.connect();
        const all = [...Array(RECORDS).keys()].map(index => record(codec, index));
        for (let at = 0; at < RECORDS; at += 100) {
          const [answer] = await producer.send({ topic, compression, messages: all.slice(at, at + 100) });
          if (Number(answer.baseOffset) !== at) throw new Error(`base offset ${answer.baseOffset}, expected ${at}`);
        }
        await producer.disconnect();
      });
      await check(`offsets of ${topic}`, async () => {
        const [zero] = (await admin.fetchTopicOffsets(topic)).filter(p => p.partition === 0);
        if (zero.high !== String(RECORDS)) throw new Error(`high ${zero.high}`);
        const [at] = (await admin.fetchTopicOffsetsByTimestamp(topic, BASE_TIMESTAMP_MS + 41000))
          .filter(p => p.partition === 0);
        if (at.offset !== '41') throw new Error(`by timestamp ${at.offset}`);
      });
    }
  }
  await admin.disconnect();
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed ? 1 : 0);
}

main().catch(error => { console.error(error); process.exit(1); });
