// IBM's sarama: usage: sarama BOOTSTRAP
package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/IBM/sarama"

	"ottla/clients/suite"
)

var codecs = map[string]sarama.CompressionCodec{
	"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
	"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
}

func config(codec string) *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Producer.Compression = codecs[codec]
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Consumer.Return.Errors = true
	return config
}

func roundTrip(topic, codec string, config *sarama.Config) error {
	producer, err := sarama.NewSyncProducer(os.Args[1:2], config)
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for index := 0; index < suite.Records; index++ {
		one := suite.Of(codec, index)
		message := &sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(one.Value),
			Timestamp: time.UnixMilli(one.TimeMs),
			Headers:   []sarama.RecordHeader{{Key: []byte("index"), Value: []byte(one.Header)}}}
		if one.Key != nil {
			message.Key = sarama.ByteEncoder(one.Key)
		}
		messages = append(messages, message)
	}
	if err := producer.SendMessages(messages); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	client, err := sarama.NewClient(os.Args[1:2], config)
	if err != nil {
		return err
	}
	defer client.Close()
	at, err := client.GetOffset(topic, 0, suite.BaseMs+41*suite.StepMs-1)
	if err != nil || at != 41 {
		return fmt.Errorf("offset by timestamp: %d %v", at, err)
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return err
	}
	for _, first := range []int64{sarama.OffsetOldest, 117, at} {
		if err := consume(consumer, topic, codec, first); err != nil {
			return fmt.Errorf("from %d: %w", first, err)
		}
	}
	_, err = consumer.ConsumePartition(topic, 0, 9_999)
	if !errors.Is(err, sarama.ErrOffsetOutOfRange) {
		return fmt.Errorf("an offset out of range: %v", err)
	}
	return nil
}

func consume(consumer sarama.Consumer, topic, codec string, from int64) error {
	partition, err := consumer.ConsumePartition(topic, 0, from)
	if err != nil {
		return err
	}
	defer partition.Close()
	timeout := time.After(20 * time.Second)
	for index := int(max(from, 0)); index < suite.Records; index++ {
		select {
		case m := <-partition.Messages():
			err := suite.Same(codec, index, m.Offset, m.Key, m.Value, string(m.Headers[0].Value), m.Timestamp.UnixMilli())
			if err != nil {
				return err
			}
		case err := <-partition.Errors():
			return err
		case <-timeout:
			return fmt.Errorf("nothing after number %d", index)
		}
	}
	return nil
}

func administration() error {
	admin, err := sarama.NewClusterAdmin(os.Args[1:2], config("none"))
	if err != nil {
		return err
	}
	defer admin.Close()
	topic, value := "sarama-admin", "123456789"
	detail := &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1, ConfigEntries: map[string]*string{"retention.ms": &value}}
	if err := admin.CreateTopic(topic, detail, false); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := admin.CreateTopic(topic, detail, false); !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return fmt.Errorf("created again: %v", err)
	}
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic,
		ConfigNames: []string{"retention.ms"}})
	if err != nil || len(entries) != 1 || entries[0].Value != value {
		return fmt.Errorf("describe config: %v %v", err, entries)
	}
	policy := "compact"
	err = admin.IncrementalAlterConfig(sarama.TopicResource, topic, map[string]sarama.IncrementalAlterConfigsEntry{
		"cleanup.policy": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &policy}}, false)
	if err != nil {
		return fmt.Errorf("alter config: %w", err)
	}
	if err := admin.CreatePartitions(topic, 4, nil, false); err != nil {
		return fmt.Errorf("create partitions: %w", err)
	}
	described, err := admin.DescribeTopics([]string{topic})
	if err != nil || len(described[0].Partitions) != 4 {
		return fmt.Errorf("describe topics: %v %v", err, described)
	}
	if err := admin.DeleteRecords("sarama-gzip", map[int32]int64{0: 100}); err != nil {
		return fmt.Errorf("delete records: %w", err)
	}
	if err := admin.DeleteTopic(topic); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func main() {
	s := suite.Suite{Name: "sarama"}
	for _, codec := range suite.Codecs {
		s.Case("topic auto-created, "+codec, func() error { return roundTrip("sarama-"+codec, codec, config(codec)) })
	}
	s.Case("idempotent", func() error {
		idempotent := config("lz4")
		idempotent.Producer.Idempotent = true
		idempotent.Net.MaxOpenRequests = 1
		return roundTrip("sarama-idempotent", "lz4", idempotent)
	})
	s.Case("an old version of the protocol", func() error {
		old := config("gzip")
		old.Version = sarama.V0_11_0_0
		return roundTrip("sarama-old", "gzip", old)
	})
	s.Case("administration", administration)
	s.Finish()
}
