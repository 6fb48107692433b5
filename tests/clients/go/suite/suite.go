// Package suite is what the three Go clients have in common: the records, the lines that say how a case went.
package suite

import (
	"fmt"
	"os"
	"strings"
)

const (
	Records = 300
	BaseMs  = int64(1_700_000_000_000)
	StepMs  = int64(1_000)
)

var Codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// Record is what every case writes as number index.
type Record struct {
	Key, Value []byte
	Header     string
	TimeMs     int64
}

// Of is the record number index; every tenth has no key.
func Of(codec string, index int) Record {
	record := Record{
		Value:  []byte(fmt.Sprintf("%s-%d-%s", codec, index, strings.Repeat("x", index%97))),
		Header: fmt.Sprint(index),
		TimeMs: BaseMs + int64(index)*StepMs,
	}
	if index%10 != 9 {
		record.Key = []byte(fmt.Sprintf("key-%d", index))
	}
	return record
}

// Same says what is wrong with a record that was read, if anything.
func Same(codec string, index int, offset int64, key, value []byte, header string, timeMs int64) error {
	want := Of(codec, index)
	if offset != int64(index) || string(key) != string(want.Key) || string(value) != string(want.Value) ||
		header != want.Header || timeMs != want.TimeMs {
		return fmt.Errorf("read offset %d key %q value %q header %q time %d, expected number %d: %+v",
			offset, key, value, header, timeMs, index, want)
	}
	return nil
}

// Suite counts the cases of one client.
type Suite struct {
	Name           string
	passed, failed int
}

// Case runs one case and says how it went.
func (s *Suite) Case(label string, run func() error) {
	if err := run(); err != nil {
		s.failed++
		fmt.Printf("FAIL  %s: %s\n      %v\n", s.Name, label, err)
		return
	}
	s.passed++
	fmt.Printf("ok    %s: %s\n", s.Name, label)
}

// Finish ends the process.
func (s *Suite) Finish() {
	fmt.Printf("%d passed, %d failed\n", s.passed, s.failed)
	if s.failed > 0 {
		os.Exit(1)
	}
	os.Exit(0)
}
