"""Two judges of segment files that know nothing of Millrace: kafka-python's decoder, and librdkafka
reading the raw batches back from its mock broker."""

import socket
import struct
import time
from dataclasses import dataclass

from confluent_kafka import Consumer, Producer, TopicPartition
from kafka.record.default_records import DefaultRecordBatch

HEADER_BYTES = 61


@dataclass
class Judged:
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list


def batches(data):
    """The whole batches of a segment file, and how many bytes are left behind the last."""
    found, position = [], 0
    while len(data) - position >= 12:
        byte_count = 12 + struct.unpack_from(">i", data, position + 8)[0]
        if byte_count < HEADER_BYTES or position + byte_count > len(data):
            break
        found.append(data[position:position + byte_count])
        position += byte_count
    return found, len(data) - position


def judge(path, compacted=False):
    """The records of a segment by kafka-python; fails on anything that is not right. Of a compacted
    one records may be missing, also all of a batch."""
    raw, rest = batches(path.read_bytes())
    assert rest == 0, f"{path}: {rest} bytes behind the last batch"
    records, next_offset = [], None
    for number, bytes_ in enumerate(raw):
        where = f"{path}, batch {number}"
        batch = DefaultRecordBatch(bytes_)
        assert bytes_[16] == 2 and batch.validate_crc(), f"{where}: magic or checksum"
        follows = next_offset in (None, batch.base_offset) or compacted and batch.base_offset > next_offset
        assert follows, f"{where}: {batch.base_offset}, not {next_offset}"
        inside = [Judged(r.offset, r.timestamp, r.key, r.value, list(r.headers)) for r in batch]
        assert len(inside) == batch.records_count, f"{where}: record count"
        offsets = [r.offset for r in inside]
        whole = list(range(batch.base_offset, batch.last_offset + 1))
        rises = offsets == sorted(set(offsets)) and set(offsets) <= set(whole)
        assert offsets == whole or compacted and rises, f"{where}: offsets"
        if inside:
            assert max(r.timestamp for r in inside) == batch.max_timestamp, f"{where}: max timestamp"
        next_offset = batch.last_offset + 1
        records += inside
    if records and not compacted:
        assert int(path.name.split(".")[0]) == records[0].offset, f"{path}: named after another offset"
    return records


def codecs(paths):
    """The codecs of all batches that have records: 0 for none, 1 for gzip."""
    raw = [batch for path in paths for batch in batches(path.read_bytes())[0]]
    return {batch[22] & 7 for batch in raw if struct.unpack_from(">i", batch, 57)[0] > 0}


def judge_index(log):
    """How many entries `.index` has: each is the last offset of the batch it points at. An entry of
    `.timeindex` is the greatest timestamp up to the batch with its offset. Both rise."""
    base = int(log.name.split(".")[0])
    at, greatest, ends, times = 0, -1, {}, {}
    for raw in batches(log.read_bytes())[0]:
        batch = DefaultRecordBatch(raw)
        greatest = max(greatest, batch.max_timestamp)
        ends[at], times[batch.last_offset] = batch.last_offset, greatest
        at += len(raw)
    index = entries(log.with_suffix(".index"), ">ii")
    assert index == sorted(set(index)), f"{log}: the index does not rise"
    for relative, position in index:
        assert ends.get(position) == base + relative, f"{log}: index entry {relative}, {position}"
    time_index = entries(log.with_suffix(".timeindex"), ">qi")
    assert time_index == sorted(set(time_index)), f"{log}: the time index does not rise"
    for timestamp, relative in time_index:
        assert times.get(base + relative) == timestamp, f"{log}: time entry {timestamp}, {relative}"
    return len(index)


def entries(path, layout):
    """All entries of an index file; Kafka's have 8 and 12 bytes."""
    return list(struct.iter_unpack(layout, path.read_bytes()))


MOCK_BYTES = 4_000_000  # The mock broker keeps 5 MiB of a partition.


def librdkafka(paths):
    """The records of one partition's segments, put untouched into librdkafka's mock broker and read
    back with check.crcs. Offsets are the broker's own, so only their count and order are judged."""
    raw, records, byte_count = [], [], 0
    for batch in (batch for path in paths for batch in batches(path.read_bytes())[0]):
        if raw and byte_count + len(batch) > MOCK_BYTES:
            records += _through_mock_broker(raw)
            raw, byte_count = [], 0
        raw.append(batch)
        byte_count += len(batch)
    return records + _through_mock_broker(raw)


def _through_mock_broker(raw):
    wanted = sum(struct.unpack_from(">i", batch, 57)[0] for batch in raw)
    producer = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(producer.list_topics("judged", timeout=10).brokers.values()))
    with socket.create_connection((broker.host, broker.port), 10) as connection:
        for number, batch in enumerate(raw):
            error = _produce(connection, "judged", batch, number)
            assert error == 0, f"the broker refused batch {number}: error {error}"
    consumer = Consumer({
        "bootstrap.servers": f"{broker.host}:{broker.port}", "group.id": "judge",
        "check.crcs": True, "log_level": 0, "enable.auto.commit": False,
    })
    consumer.assign([TopicPartition("judged", 0, 0)])
    records, deadline = [], time.monotonic() + 30
    while len(records) < wanted and time.monotonic() < deadline:
        for message in consumer.consume(1000, 0.2):
            assert message.error() is None, message.error()
            records.append(Judged(
                message.offset(), message.timestamp()[1], message.key(), message.value(),
                list(message.headers() or []),
            ))
    consumer.close()
    assert len(records) == wanted, f"librdkafka read {len(records)} of {wanted}"
    return records


def _produce(connection, topic, batch, correlation):
    """A Produce request, version 3, with the batch as its records; the answer's error code."""
    name = topic.encode()
    body = struct.pack(">hhi", -1, -1, 5000) + struct.pack(">ih", 1, len(name)) + name
    body += struct.pack(">iii", 1, 0, len(batch)) + batch
    request = struct.pack(">hhih", 0, 3, correlation, 5) + b"judge" + body
    connection.sendall(struct.pack(">i", len(request)) + request)
    byte_count = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))[0]
    answer = connection.recv(byte_count, socket.MSG_WAITALL)
    # Correlation, one topic of this name, one partition with its index; then the error.
    return struct.unpack_from(">h", answer, 4 + 4 + 2 + len(name) + 4 + 4)[0]


def segments(data, topic_id):
    """Per partition, the log files of a topic in order."""
    directory = data / "topics" / topic_id
    partitions = sorted(p for p in directory.iterdir() if p.is_dir() and p.name.isdigit())
    assert partitions, f"no partition under {directory}"
    return [sorted(p.glob("*.log")) for p in partitions]
