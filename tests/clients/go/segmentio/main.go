// segmentio/kafka-go: usage: segmentio BOOTSTRAP
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/segmentio/kafka-go"

	"ottla/clients/suite"
)

var codecs = map[string]kafka.Compression{
	"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

func roundTrip(ctx context.Context, topic, codec string) error {
	writer := &kafka.Writer{Addr: kafka.TCP(os.Args[1]), Topic: topic, Compression: codecs[codec],
		RequiredAcks: kafka.RequireAll, BatchTimeout: 5 * time.Millisecond,
		Balancer: kafka.BalancerFunc(func(kafka.Message, ...int) int { return 0 })}
	defer writer.Close()
	var messages []kafka.Message
	for index := 0; index < suite.Records; index++ {
		one := suite.Of(codec, index)
		messages = append(messages, kafka.Message{Key: one.Key, Value: one.Value, Time: time.UnixMilli(one.TimeMs),
			Headers: []kafka.Header{{Key: "index", Value: []byte(one.Header)}}})
	}
	if err := writer.WriteMessages(ctx, messages...); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: os.Args[1:2], Topic: topic, Partition: 0,
		MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	if err := consume(ctx, reader, codec, 0); err != nil {
		return fmt.Errorf("from the start: %w", err)
	}
	if err := reader.SetOffset(117); err != nil {
		return err
	}
	if err := consume(ctx, reader, codec, 117); err != nil {
		return fmt.Errorf("from an offset: %w", err)
	}
	if err := reader.SetOffsetAt(ctx, time.UnixMilli(suite.BaseMs+41*suite.StepMs-1)); err != nil {
		return err
	}
	return consume(ctx, reader, codec, 41)
}

func consume(ctx context.Context, reader *kafka.Reader, codec string, first int) error {
	for index := first; index < suite.Records; index++ {
		m, err := reader.ReadMessage(ctx)
		if err != nil {
			return err
		}
		err = suite.Same(codec, index, m.Offset, m.Key, m.Value, string(m.Headers[0].Value), m.Time.UnixMilli())
		if err != nil {
			return err
		}
	}
	return nil
}

// Reader and Writer use the older requests, Conn the oldest.
func connection(ctx context.Context) error {
	conn, err := kafka.DialLeader(ctx, "tcp", os.Args[1], "segmentio-conn", 0)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := conn.WriteMessages(kafka.Message{Value: []byte("one")}, kafka.Message{Value: []byte("two")}); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	batch := conn.ReadBatch(1, 1<<20)
	for _, want := range []string{"one", "two"} {
		m, err := batch.ReadMessage()
		if err != nil || string(m.Value) != want {
			return fmt.Errorf("read %q, expected %q: %v", m.Value, want, err)
		}
	}
	if err := batch.Close(); err != nil {
		return err
	}
	first, last, err := conn.ReadOffsets()
	if err != nil || first != 0 || last != 2 {
		return fmt.Errorf("offsets %d %d %v", first, last, err)
	}
	return nil
}

func administration(ctx context.Context) error {
	client := &kafka.Client{Addr: kafka.TCP(os.Args[1])}
	topic := "segmentio-admin"
	created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic,
		NumPartitions: 2, ReplicationFactor: 1,
		ConfigEntries: []kafka.ConfigEntry{{ConfigName: "retention.ms", ConfigValue: "123456789"}}}}})
	if err != nil || created.Errors[topic] != nil {
		return fmt.Errorf("create: %v %v", err, created)
	}
	described, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}}}})
	if err != nil || described.Resources[0].ConfigEntries[0].ConfigValue != "123456789" {
		return fmt.Errorf("describe configs: %v %+v", err, described)
	}
	altered, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic,
			ResourceName: topic, Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "cleanup.policy",
				Value: "compact", ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil || altered.Resources[0].Error != nil {
		return fmt.Errorf("alter configs: %v %+v", err, altered)
	}
	grown, err := client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: 4}}})
	if err != nil || grown.Errors[topic] != nil {
		return fmt.Errorf("create partitions: %v %+v", err, grown)
	}
	// The client remembers metadata for some seconds.
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
		if err == nil && len(metadata.Topics[0].Partitions) == 4 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("metadata: %v %+v", err, metadata)
		}
	}
	deleted, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil || deleted.Errors[topic] != nil {
		return fmt.Errorf("delete: %v %+v", err, deleted)
	}
	return nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s := suite.Suite{Name: "segmentio/kafka-go"}
	for _, codec := range suite.Codecs {
		topic := "segmentio-" + codec
		s.Case("create "+topic, func() error {
			client := &kafka.Client{Addr: kafka.TCP(os.Args[1])}
			created, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{
				Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}})
			if err != nil {
				return err
			}
			return created.Errors[topic]
		})
		s.Case("round trip, "+codec, func() error { return roundTrip(ctx, topic, codec) })
	}
	s.Case("a plain connection, topic auto-created", func() error { return connection(ctx) })
	s.Case("administration", func() error { return administration(ctx) })
	s.Finish()
}
