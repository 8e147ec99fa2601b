#!/usr/bin/env bash
# PyPI: opentelemetry-instrumentation-confluent-kafka 0.66b1 with confluent-kafka 2.16.1, opentelemetry-instrumentation-aiokafka 0.66b1 with aiokafka 0.14.0; the
# broker is the one that librdkafka has for tests.
# Guess: instrumentation writes the trace's context into the message that is sent, and the list of headers that the program gave stays the program's own. A message
# that is passed on with the headers that it came with gets the new context in place of the old one (W3C Trace Context: a participant replaces traceparent).
# Seen: it appends to the program's list. With a constant list of headers each message has the traceparents of all messages before it: every consumer takes the
# first, so all its spans belong to the first request of the process, and messages grow by 68 bytes each until produce() raises MSG_SIZE_TOO_LARGE, with the usual limit of
# 1 MB at the 14,700th or so. It looks like the program's leak, comes hours after the start, and is not there without instrumentation.
# A message that is passed on with its headers has two, and the reader takes the older one: the hop in between is missing in every trace.
# Give each call a list of its own, without traceparent and tracestate: headers=[*HEADERS].
# Needs python3 with venv and PyPI. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT; cd "$dir"
python3 -m venv venv
venv/bin/pip install -q opentelemetry-instrumentation-confluent-kafka==0.66b1 opentelemetry-instrumentation-aiokafka==0.66b1 opentelemetry-sdk==1.45.1 \
  confluent-kafka==2.16.1 aiokafka==0.14.0
cat >run.py <<'PY'
import asyncio
from opentelemetry import trace
from opentelemetry.instrumentation.aiokafka import AIOKafkaInstrumentor
from opentelemetry.instrumentation.confluent_kafka import ConfluentKafkaInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("program")
ConfluentKafkaInstrumentor().instrument()
AIOKafkaInstrumentor().instrument()
import confluent_kafka
from aiokafka import AIOKafkaProducer

HEADERS = [("type", b"order")]
QUIET = {"log_level": 0}
broker = confluent_kafka.Producer({"test.mock.num.brokers": 1, **QUIET})
address = [f"{node.host}:{node.port}" for node in broker.list_topics(timeout=10).brokers.values()][0]

def with_confluent(headers, topic):
    producer = confluent_kafka.Producer({"bootstrap.servers": address, "message.max.bytes": 100_000, **QUIET})
    requests = []
    for number in range(3):
        with tracer.start_as_current_span("request") as span:
            requests.append(span.get_span_context().trace_id)
            producer.produce(topic, b"%d" % number, headers=headers())
    producer.flush(10)
    return producer, requests

async def with_aiokafka(headers, topic):
    producer = AIOKafkaProducer(bootstrap_servers=address)
    await producer.start()
    requests = []
    for number in range(3):
        with tracer.start_as_current_span("request") as span:
            requests.append(span.get_span_context().trace_id)
            await producer.send_and_wait(topic, b"%d" % number, headers=headers())
    await producer.stop()
    return None, requests

def read(topic):
    """What a consumer with the same instrumentation makes of three messages: the trace of each, and how many traceparents it has."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": address, "group.id": topic, "auto.offset.reset": "earliest", **QUIET})
    consumer.subscribe([topic])
    messages = []
    while len(messages) < 3:
        message = consumer.poll(1)
        if message and not message.error():
            messages.append(message)
    consumer.poll(0.1)
    consumer.close()
    traces = [link.context.trace_id for span in spans.get_finished_spans() if span.kind == trace.SpanKind.CONSUMER for link in span.links]
    spans.clear()
    return messages, traces, [sum(name == "traceparent" for name, _ in message.headers()) for message in messages]

def show(name, produced, topic):
    producer, requests = produced
    messages, traces, counts = read(topic)
    print(f"{name}: belong to requests {sorted(requests.index(each) + 1 for each in traces)}, traceparents {sorted(counts)}")
    return producer, requests, messages

spans.clear()
show("confluent-kafka, a list for each call", with_confluent(lambda: [*HEADERS], "own"), "own")
show("aiokafka, a list for each call", asyncio.run(with_aiokafka(lambda: [*HEADERS], "own-aio")), "own-aio")
shared = [*HEADERS]
show("aiokafka, one list", asyncio.run(with_aiokafka(lambda: shared, "one-aio")), "one-aio")
producer, requests, messages = show("confluent-kafka, one list", with_confluent(lambda: HEADERS, "one"), "one")

# What came is passed on with its headers.
own = with_confluent(lambda: [("type", b"order")], "first")
messages, _, _ = read("first")
hops = []
for message in messages:
    with tracer.start_as_current_span("pass on") as span:
        hops.append(span.get_span_context().trace_id)
        own[0].produce("second", message.value(), headers=message.headers())
own[0].flush(10)
_, traces, counts = read("second")
where = ["the hop in between" if each in hops else "the first sender" if each in own[1] else "?" for each in traces]
print(f"passed on: belong to {where}, traceparents {counts}")

number = 3
try:
    while number < 3000:
        number += 1
        with tracer.start_as_current_span("request"):
            producer.produce("one", b"x", headers=HEADERS)
        producer.poll(0)
except confluent_kafka.KafkaException as error:
    print(f"confluent-kafka, one list, a limit of 100,000 bytes: message {number} is refused, {error.args[0].name()}")
PY
timeout 100 venv/bin/python run.py 2>/dev/null | tee seen
cat >expected <<'TXT'
confluent-kafka, a list for each call: belong to requests [1, 2, 3], traceparents [1, 1, 1]
aiokafka, a list for each call: belong to requests [1, 2, 3], traceparents [1, 1, 1]
aiokafka, one list: belong to requests [1, 1, 1], traceparents [1, 2, 3]
confluent-kafka, one list: belong to requests [1, 1, 1], traceparents [1, 2, 3]
passed on: belong to ['the first sender', 'the first sender', 'the first sender'], traceparents [2, 2, 2]
confluent-kafka, one list, a limit of 100,000 bytes: message 1470 is refused, MSG_SIZE_TOO_LARGE
TXT
diff expected seen
