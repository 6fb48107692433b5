// franz-go (kgo, kadm): usage: franz BOOTSTRAP. Its producer is idempotent unless told otherwise.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"ottla/clients/suite"
)

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(os.Args[1]))...)
}

func roundTrip(ctx context.Context, topic, codec string, options ...kgo.Opt) error {
	producer, err := client(append(options, kgo.ProducerBatchCompression(codecs[codec]), kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		return err
	}
	defer producer.Close()
	var records []*kgo.Record
	for index := 0; index < suite.Records; index++ {
		one := suite.Of(codec, index)
		records = append(records, &kgo.Record{Topic: topic, Partition: 0, Key: one.Key, Value: one.Value,
			Timestamp: time.UnixMilli(one.TimeMs), Headers: []kgo.RecordHeader{{Key: "index", Value: []byte(one.Header)}}})
	}
	if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	if err := consume(ctx, topic, codec, kgo.NewOffset().AtStart(), 0); err != nil {
		return fmt.Errorf("from the start: %w", err)
	}
	if err := consume(ctx, topic, codec, kgo.NewOffset().At(117), 117); err != nil {
		return fmt.Errorf("from an offset: %w", err)
	}
	return consume(ctx, topic, codec, kgo.NewOffset().AfterMilli(suite.BaseMs+41*suite.StepMs-1), 41)
}

func consume(ctx context.Context, topic, codec string, from kgo.Offset, first int) error {
	consumer, err := client(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: from}}))
	if err != nil {
		return err
	}
	defer consumer.Close()
	for index := first; index < suite.Records; {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		var wrong error
		fetches.EachRecord(func(r *kgo.Record) {
			if wrong == nil {
				wrong = suite.Same(codec, index, r.Offset, r.Key, r.Value, string(r.Headers[0].Value),
					r.Timestamp.UnixMilli())
			}
			index++
		})
		if wrong != nil {
			return wrong
		}
	}
	return nil
}

// A consumer whose offset is gone starts where it is told to, and no connection is lost over it.
func outOfRange(ctx context.Context) error {
	consumer, err := client(kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{"franz-none": {0: kgo.NewOffset().At(9_999)}}))
	if err != nil {
		return err
	}
	defer consumer.Close()
	fetches := consumer.PollFetches(ctx)
	if err := fetches.Err(); err != nil {
		return err
	}
	if first := fetches.Records()[0].Offset; first != 0 {
		return fmt.Errorf("went on at %d", first)
	}
	return nil
}

func administration(ctx context.Context, admin *kadm.Client) error {
	topic := "franz-admin"
	if _, err := admin.CreateTopic(ctx, 2, 1, map[string]*string{"retention.ms": kadm.StringPtr("123456789")}, topic); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if _, err := admin.CreateTopic(ctx, 2, 1, nil, topic); err != kerr.TopicAlreadyExists {
		return fmt.Errorf("created again: %v", err)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return fmt.Errorf("describe configs: %w", err)
	}
	found := ""
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" {
			found = config.MaybeValue()
		}
	}
	if found != "123456789" {
		return fmt.Errorf("retention.ms is %q", found)
	}
	changed, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "cleanup.policy",
		Value: kadm.StringPtr("compact")}}, topic)
	if err != nil || changed[0].Err != nil {
		return fmt.Errorf("alter configs: %v %+v", err, changed)
	}
	grown, err := admin.CreatePartitions(ctx, 2, topic)
	if err != nil || grown.Error() != nil {
		return fmt.Errorf("create partitions: %v %v", err, grown.Error())
	}
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil || len(topics[topic].Partitions) != 4 {
		return fmt.Errorf("list topics: %v, %d partitions", err, len(topics[topic].Partitions))
	}
	offsets := kadm.Offsets{}
	offsets.AddOffset("franz-gzip", 0, 100, -1)
	if _, err := admin.DeleteRecords(ctx, offsets); err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	starts, err := admin.ListStartOffsets(ctx, "franz-gzip")
	if start, _ := starts.Lookup("franz-gzip", 0); err != nil || start.Offset != 100 {
		return fmt.Errorf("list start offsets: %v, %d", err, start.Offset)
	}
	if brokers, err := admin.ListBrokers(ctx); err != nil || len(brokers) != 1 {
		return fmt.Errorf("list brokers: %v %v", err, brokers)
	}
	if _, err := admin.DeleteTopic(ctx, topic); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s := suite.Suite{Name: "franz-go"}
	for _, codec := range suite.Codecs {
		s.Case("idempotent, topic auto-created, "+codec, func() error { return roundTrip(ctx, "franz-"+codec, codec) })
	}
	s.Case("acks=1", func() error {
		return roundTrip(ctx, "franz-acks-1", "lz4", kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	})
	s.Case("acks=0", func() error {
		return roundTrip(ctx, "franz-acks-0", "none", kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	})
	s.Case("an offset out of range", func() error { return outOfRange(ctx) })
	s.Case("administration", func() error {
		plain, err := client()
		if err != nil {
			return err
		}
		defer plain.Close()
		return administration(ctx, kadm.NewClient(plain))
	})
	s.Finish()
}
