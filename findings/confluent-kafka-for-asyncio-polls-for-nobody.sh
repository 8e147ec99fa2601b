#!/usr/bin/env bash
# confluent-kafka 2.16.1 (PyPI), its consumer for asyncio, confluent_kafka.aio.AIOConsumer, with default settings; aiokafka 0.14.0 (PyPI) next to it. The broker is
# Apache Kafka 4.4.0 (Maven), a topic with one partition, Python 3.
# Guess: a poll that the program has given up, with asyncio.wait_for, asyncio.timeout or task.cancel(), takes no record: what arrives later goes to the next poll,
# and no offset is committed for a record that nobody has got. Every asyncio program waits with a time limit, or for "a record or the signal to stop".
# Seen: the poll goes on in a thread of the client's pool until its own timeout, though its coroutine is cancelled. The next record goes to that thread, which throws it
# away and stores its offset, so it is committed with the next ones: nobody gets it, not even after a restart. A loop with a limit that is shorter than the
# poll's timeout fills the pool with such threads and loses most records, in silence. aiokafka's getone() loses none. Until this is mended, await
# poll(timeout) to its end, with a short timeout, and look at the signal to stop in between.
# Needs Java 17, Maven, Node, python3 with venv and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; broker=
trap 'kill -9 $broker 2>/dev/null || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q confluent-kafka==2.16.1 aiokafka==0.14.0
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.4.0</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
read -r port control <<<"$(node -e '
const net = require("node:net"); const servers = [0, 0].map(() => net.createServer().listen(0, "127.0.0.1"));
setTimeout(() => { console.log(...servers.map((server) => server.address().port)); servers.map((server) => server.close()); }, 50);')"
cat >server.properties <<TXT
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$control
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$control
controller.listener.names=CONTROLLER
log.dirs=$dir/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
TXT
java -cp 'lib/*' kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAA -c server.properties >/dev/null 2>&1
java -Xms256m -Xmx512m -XX:+UseSerialGC -cp 'lib/*' kafka.Kafka server.properties >log 2>&1 & broker=$!
cat >probe.py <<'PY'
import asyncio, os, sys
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka.admin import AdminClient, NewTopic
from confluent_kafka.aio import AIOConsumer

server = f"127.0.0.1:{sys.argv[1]}"

class Confluent:
    async def start(self, topic):
        self.consumer = AIOConsumer({"bootstrap.servers": server, "group.id": f"confluent-{topic}", "auto.offset.reset": "earliest"})
        await self.consumer.subscribe([topic])

    async def next(self):
        record = await self.consumer.poll(3)
        return record and record.value().decode()

    async def stop(self):
        await self.consumer.close()

class Aiokafka:
    async def start(self, topic):
        self.consumer = AIOKafkaConsumer(topic, bootstrap_servers=server, group_id=f"aiokafka-{topic}", auto_offset_reset="earliest")
        await self.consumer.start()

    async def next(self):
        try:
            return (await asyncio.wait_for(self.consumer.getone(), 3)).value.decode()
        except asyncio.TimeoutError:
            return None

    async def stop(self):
        await self.consumer.stop()

async def give_up(consumer, limit):
    try:
        return await asyncio.wait_for(consumer.next(), limit)
    except asyncio.TimeoutError:
        return None

async def main():
    admin = AdminClient({"bootstrap.servers": server})
    topics = [f"{kind}-{client}" for kind in ("single", "loop") for client in ("confluent-kafka", "aiokafka")]
    for made in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        made.result(30)
    producer = AIOKafkaProducer(bootstrap_servers=server)
    await producer.start()

    for name, kind in (("confluent-kafka", Confluent), ("aiokafka", Aiokafka)):
        consumer = kind()
        topic = f"single-{name}"
        await consumer.start(topic)
        await producer.send_and_wait(topic, b"first")
        while await consumer.next() != "first":
            pass
        await give_up(consumer, 0.3)
        for value in (b"second", b"third"):
            await producer.send_and_wait(topic, value)
            await asyncio.sleep(0.5)
        got = [await consumer.next(), await consumer.next()]
        await consumer.stop()
        again = kind()
        await again.start(topic)
        after = [await again.next(), await again.next()]
        await again.stop()
        print(f"{name}: after one poll that was given up {got}, after a restart {after}", flush=True)

    for name, kind in (("confluent-kafka", Confluent), ("aiokafka", Aiokafka)):
        consumer, got = kind(), set()
        await consumer.start(f"loop-{name}")
        sender = asyncio.create_task(send(producer, f"loop-{name}"))
        while not sender.done():
            value = await give_up(consumer, 0.1)
            got.add(value)
        for _ in range(3):
            got.add(await give_up(consumer, 3))
        got.discard(None)
        print(f"{name}: 0.1 s for each poll, of 40 records {'all' if len(got) == 40 else 'fewer than half' if len(got) < 20 else len(got)}", flush=True)
    os._exit(0)  # To close the consumer would wait for all the polls that were given up.

async def send(producer, topic):
    await asyncio.sleep(4)
    for number in range(40):
        await producer.send_and_wait(topic, str(number).encode())
        await asyncio.sleep(0.13)

asyncio.run(main())
PY
timeout 120 venv/bin/python probe.py "$port" 2>err | tee seen
cat >expected <<'TXT'
confluent-kafka: after one poll that was given up ['third', None], after a restart [None, None]
aiokafka: after one poll that was given up ['second', 'third'], after a restart [None, None]
confluent-kafka: 0.1 s for each poll, of 40 records fewer than half
aiokafka: 0.1 s for each poll, of 40 records all
TXT
diff expected seen
