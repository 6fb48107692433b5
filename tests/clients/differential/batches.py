"""Record batches, good ones and bad ones."""
import gzip
import struct
import zlib

import lz4.frame
import snappy
import zstandard

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def _table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def zigzag(value):
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(data):
    return zigzag(-1) if data is None else zigzag(len(data)) + data


def record(delta, key, value, headers=(), timestamp_delta=0):
    body = b"\0" + zigzag(timestamp_delta) + zigzag(delta) + field(key) + field(value) + zigzag(len(headers))
    for name, content in headers:
        body += field(name) + field(content)
    return zigzag(len(body)) + body


def compress(codec, data):
    if codec == "gzip":
        return gzip.compress(data, mtime=0)
    if codec == "snappy":
        return snappy.compress(data)
    if codec == "lz4":
        return lz4.frame.compress(data, block_linked=False)
    if codec == "zstd":
        return zstandard.compress(data)
    return data


def batch(records=((b"k", b"v"),), *, codec="none", timestamp=1_700_000_000_000, step=1, base_offset=0, epoch=-1,
          magic=2, producer=(-1, -1, -1), attributes=0, count=None, last_delta=None, max_timestamp=None, length=None,
          crc=None, payload=None, deltas=None):
    """A batch of (key, value) or whole record bytes; everything can be lied about."""
    if payload is None:
        encoded = []
        for index, each in enumerate(records):
            delta = deltas[index] if deltas else index
            encoded.append(each if isinstance(each, bytes)
                           else record(delta, each[0], each[1], timestamp_delta=index * step))
        payload = compress(codec, b"".join(encoded))
    size = len(records)
    count = size if count is None else count
    last_delta = size - 1 if last_delta is None else last_delta
    max_timestamp = timestamp + max(size - 1, 0) * step if max_timestamp is None else max_timestamp
    producer_id, producer_epoch, sequence = producer
    body = struct.pack(">hiqqqhii", attributes | CODECS[codec], last_delta, timestamp, max_timestamp, producer_id,
                       producer_epoch, sequence, count) + payload
    crc = crc32c(body) if crc is None else crc
    rest = struct.pack(">ibI", epoch, magic, crc) + body
    return struct.pack(">qi", base_offset, len(rest) if length is None else length) + rest


def old_message(magic, value=b"v", timestamp=1_700_000_000_000):
    """A message set of one message, as before Kafka 0.11."""
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", timestamp) if magic else b"")
    body += struct.pack(">i", -1) + struct.pack(">i", len(value)) + value
    message = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", 0, len(message)) + message


def headers_of(data):
    """What a consumer sees of fetched batches, in words; a cut last one counts as 'cut'."""
    found, at = [], 0
    while at < len(data):
        if len(data) - at < 61:
            found.append(("cut",))
            break
        base, length, epoch, magic, crc = struct.unpack_from(">qiibI", data, at)
        attributes, last, first_ts, max_ts, pid, pepoch, seq, count = struct.unpack_from(">hiqqqhii", data, at + 21)
        whole = at + 12 + length <= len(data)
        found.append((base, length, epoch, magic, attributes, last, first_ts, max_ts, "pid" if pid >= 0 else -1, pepoch,
                      seq, count, "whole" if whole else "cut"))
        at += 12 + length
    return found
