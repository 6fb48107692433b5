"""Kafka's protocol as the message schemas inside Kafka's own client jar define it.

Nothing here is shared with the broker under test: a field that both sides of it misread in the same way would
else never show.
"""
import json
import re
import socket
import struct
import uuid
import zipfile

NO_CLIENT_ID = object()


def load_schemas(jar):
    """Requests and responses by API key, out of kafka-clients-*.jar."""
    schemas = {"request": {}, "response": {}}
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if not re.fullmatch(r"common/message/\w+(Request|Response)\.json", name):
                continue
            text = "\n".join(line for line in archive.read(name).decode().splitlines()
                             if not line.lstrip().startswith("//"))
            schema = json.loads(text)
            schemas[schema["type"]][schema["apiKey"]] = Schema(schema)
    return schemas


class Versions:
    def __init__(self, text):
        self.low, self.high = 1, 0
        if text and text != "none":
            low, dash, high = text.partition("-")
            self.low = int(low.rstrip("+"))
            self.high = int(high) if dash else (32767 if text.endswith("+") else self.low)

    def __contains__(self, version):
        return self.low <= version <= self.high


class Schema:
    def __init__(self, schema):
        self.name = schema["name"]
        self.key = schema["apiKey"]
        self.valid = Versions(schema["validVersions"])
        self.flexible = Versions(schema.get("flexibleVersions", "none"))
        common = {each["name"]: each["fields"] for each in schema.get("commonStructs", [])}
        self.fields = [Field(field, common) for field in schema.get("fields", [])]

    def encode(self, values, version):
        unknown = set(values) - {field.name for field in self.fields}
        assert not unknown, f"{self.name} has no {unknown}"
        return encode_struct(self.fields, values, version, version in self.flexible)

    def decode(self, data, version):
        reader = Reader(data)
        values = decode_struct(self.fields, reader, version, version in self.flexible)
        assert reader.at == len(data), f"{len(data) - reader.at} bytes too many in {self.name} {version}"
        return values


class Field:
    def __init__(self, field, common):
        # A few schemas begin some of their names with a small letter.
        self.name = field["name"][0].upper() + field["name"][1:]
        self.versions = Versions(field["versions"])
        self.nullable = Versions(field.get("nullableVersions"))
        self.tag = field.get("tag")
        self.tagged = Versions(field.get("taggedVersions"))
        self.flexible_anyway = field.get("flexibleVersions") != "none"
        kind = field["type"]
        self.array = kind.startswith("[]")
        self.kind = kind.removeprefix("[]")
        self.fields = None
        if "fields" in field or self.kind in common:
            self.fields = [Field(each, common) for each in field.get("fields") or common[self.kind]]
        self.default = self.default_of(field.get("default"))

    def default_of(self, text):
        if text == "null":
            return None
        if self.array:
            return []
        if self.fields:
            return {}
        if self.kind == "string":
            return text or ""
        if self.kind in ("bytes", "records"):
            return b""
        if self.kind == "uuid":
            return uuid.UUID(int=0)
        if self.kind == "bool":
            return text in (True, "true")
        return int(str(text), 0) if text is not None else 0


FORMATS = {"int8": ">b", "int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "int64": ">q",
           "float64": ">d", "bool": ">?"}


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encode_length(length, flexible, short):
    """-1 is null."""
    if flexible:
        return varint(length + 1)
    return struct.pack(">h" if short else ">i", length)


def encode_value(field, value, version, flexible):
    if field.array:
        if value is None:
            return encode_length(-1, flexible, False)
        return encode_length(len(value), flexible, False) + b"".join(
            encode_single(field, each, version, flexible) for each in value)
    return encode_single(field, value, version, flexible)


def encode_single(field, value, version, flexible):
    if field.fields is not None:
        if version in field.nullable and not field.array:
            if value is None:
                return b"\xff"
            return b"\x01" + encode_struct(field.fields, value, version, flexible)
        unknown = set(value) - {each.name for each in field.fields}
        assert not unknown, f"{field.name} has no {unknown}"
        return encode_struct(field.fields, value, version, flexible)
    if field.kind in FORMATS:
        return struct.pack(FORMATS[field.kind], value)
    if field.kind == "uuid":
        return value.bytes
    short = field.kind == "string"
    if value is None:
        return encode_length(-1, flexible, short)
    data = value.encode() if isinstance(value, str) else value
    return encode_length(len(data), flexible, short) + data


def encode_struct(fields, values, version, flexible):
    out, tagged = [], []
    for field in fields:
        if version not in field.versions:
            continue
        value = values.get(field.name, field.default)
        if version in field.tagged:
            if value != field.default:
                tagged.append((field.tag, encode_value(field, value, version, True)))
        else:
            out.append(encode_value(field, value, version, flexible and field.flexible_anyway))
    if flexible:
        tagged += values.get("_tags", [])
        out.append(varint(len(tagged)))
        for tag, data in sorted(tagged):
            out.append(varint(tag) + varint(len(data)) + data)
    return b"".join(out)


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        assert 0 <= count <= len(self.data) - self.at, f"{count} bytes wanted at {self.at} of {len(self.data)}"
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def length(self, flexible, short):
        return self.varint() - 1 if flexible else self.number(">h" if short else ">i")


def decode_value(field, reader, version, flexible):
    if field.array:
        count = reader.length(flexible, False)
        if count < 0:
            return None
        return [decode_single(field, reader, version, flexible) for _ in range(count)]
    return decode_single(field, reader, version, flexible)


def decode_single(field, reader, version, flexible):
    if field.fields is not None:
        if version in field.nullable and not field.array and reader.number(">b") < 0:
            return None
        return decode_struct(field.fields, reader, version, flexible)
    if field.kind in FORMATS:
        return reader.number(FORMATS[field.kind])
    if field.kind == "uuid":
        return uuid.UUID(bytes=reader.take(16))
    length = reader.length(flexible, field.kind == "string")
    if length < 0:
        return None
    data = reader.take(length)
    return data.decode() if field.kind == "string" else data


def decode_struct(fields, reader, version, flexible):
    values = {}
    for field in fields:
        if version in field.versions and version not in field.tagged:
            values[field.name] = decode_value(field, reader, version, flexible and field.flexible_anyway)
    if flexible:
        tags = {field.tag: field for field in fields if version in field.tagged and version in field.versions}
        for _ in range(reader.varint()):
            tag, inner = reader.varint(), Reader(reader.take(reader.varint()))
            # What is sent although it is the default is a difference too.
            if tag in tags:
                values[tags[tag].name] = decode_value(tags[tag], inner, version, True)
            else:
                values[f"tag {tag}"] = inner.data
    return values


class Closed(Exception):
    """The broker closed the connection."""


class Connection:
    def __init__(self, address, schemas):
        self.address, self.schemas, self.socket, self.correlation = address, schemas, None, 0

    def open(self):
        if self.socket is None:
            host, _, port = self.address.rpartition(":")
            self.socket = socket.create_connection((host, int(port)), 8)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def send_frame(self, payload, length=None):
        self.open()
        self.socket.sendall(struct.pack(">i", len(payload) if length is None else length) + payload)

    def receive_frame(self):
        """The next frame; Closed if there is none to come."""
        try:
            return self._exactly(struct.unpack(">i", self._exactly(4))[0])
        except (ConnectionError, Closed):
            self.close()
            raise Closed from None

    def _exactly(self, count):
        data = bytearray()
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise Closed
            data += piece
        return bytes(data)

    def header(self, key, version, flexible, client_id="differential"):
        self.correlation += 1
        head = struct.pack(">hhi", key, version, self.correlation)
        if client_id is None:
            head += struct.pack(">h", -1)
        elif client_id is not NO_CLIENT_ID:
            head += struct.pack(">h", len(client_id)) + client_id.encode()
        return head + (b"\0" if flexible else b"")

    def request(self, key, version, values, answered=True):
        request = self.schemas["request"][key]
        body = request.encode(values, version)
        try:
            self.send_frame(self.header(key, version, version in request.flexible) + body)
        except ConnectionError:
            self.close()
            raise Closed from None
        if not answered:
            return None
        return self.response(key, version)

    def response(self, key, version):
        reader = Reader(self.receive_frame())
        correlation = reader.number(">i")
        assert correlation == self.correlation, f"an answer to {correlation}, not to {self.correlation}"
        schema = self.schemas["response"][key]
        if version in schema.flexible and key != 18:
            assert reader.varint() == 0, "tags in a response header"
        return schema.decode(reader.data[reader.at:], version)
