#!/usr/bin/env bash
# com.rabbitmq:amqp-client 5.37.1 (Maven), its automatic recovery (the default); aio-pika 10.2.1 (PyPI) next to it. Debian's RabbitMQ
# (3.10.8 when seen), a durable queue, persistent messages, publisher confirms. The network loses two of ten messages, and then the connection.
# Guess: waitForConfirms() says true when all that was published since the last call is confirmed. Of two messages the broker has no confirm to send, so it
# says false or throws, as it does when the connection is lost while it waits, and the program publishes the batch again. That is the pattern of RabbitMQ's own tutorial.
# Seen: when the client has recovered before the call, it says true for the whole batch, and two messages are nowhere. The channel that it stands for is a new one, which knows only
# what was published since; nothing of the old one's unconfirmed messages is left. Nor does the tutorial's other pattern find them, a map by getNextPublishSeqNo(): the numbers begin
# at 1 again, later messages take the places of those that were lost in the map, and are confirmed: nothing is outstanding. A publisher of a few messages a second, which
# confirms them by the hundred, loses some at each cut, and has proof that it did not. A transaction is worse: txCommit() commits the half that came after the cut, without an error.
# aio-pika raises for each message whose confirm is lost.
# Count what is unconfirmed yourself, by ids of your own, and publish it again in RecoveryListener.handleRecoveryStarted; or turn automatic recovery off for publishers.
# Needs Java 17, Maven, python3 with venv, rabbitmq-server (as root) and the registries. Exits with 1 if the behaviour has changed.
set -euo pipefail
dir=$(mktemp -d); cd "$dir"; proxy=
free() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
amqp=$(free); dist=$(free); epmd=$(free); port=$(free)
trap 'kill $proxy 2>/dev/null || true; kill -9 $(cat pid 2>/dev/null) 2>/dev/null || true; sleep 0.5; ERL_EPMD_PORT=$epmd epmd -kill >/dev/null 2>&1 || true; wait 2>/dev/null; rm -rf "$dir"' EXIT
python3 -m venv venv
venv/bin/pip install -q aio-pika==10.2.1
cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>a</groupId><artifactId>a</artifactId><version>1</version><dependencies>
<dependency><groupId>com.rabbitmq</groupId><artifactId>amqp-client</artifactId><version>5.37.1</version></dependency>
</dependencies></project>
XML
mvn -q -B dependency:copy-dependencies -DoutputDirectory=lib >mvn.log 2>&1
cat >Publish.java <<'JAVA'
import com.rabbitmq.client.*;
import java.nio.file.*;
import java.util.concurrent.*;

public class Publish {
    static volatile CountDownLatch back;

    static void publish(Channel channel, String queue, int from, int to, ConcurrentNavigableMap<Long, Integer> outstanding) throws Exception {
        for (int number = from; number <= to; number++) {
            outstanding.put(channel.getNextPublishSeqNo(), number);
            channel.basicPublish("", queue, MessageProperties.PERSISTENT_TEXT_PLAIN, ("" + number).getBytes());
        }
    }

    static void publishAll(Channel channel, String queue, ConcurrentNavigableMap<Long, Integer> outstanding) throws Exception {
        channel.queueDeclare(queue, true, false, false, null);
        if (queue.equals("transaction")) channel.txSelect();
        else channel.confirmSelect();
        publish(channel, queue, 1, 3, outstanding);
        Thread.sleep(1000);
        back = new CountDownLatch(1);
        Files.createFile(Path.of("stalled"));
        publish(channel, queue, 4, 5, outstanding);
        Thread.sleep(500);
        Files.createFile(Path.of("cut"));
        back.await();
        publish(channel, queue, 6, 10, outstanding);
    }

    public static void main(String[] args) throws Exception {
        var factory = new ConnectionFactory();
        factory.setPort(Integer.parseInt(args[0]));
        factory.setNetworkRecoveryInterval(1000);
        var connection = factory.newConnection();
        ((Recoverable) connection).addRecoveryListener(new RecoveryListener() {
            public void handleRecovery(Recoverable recovered) { back.countDown(); }
            public void handleRecoveryStarted(Recoverable started) {}
        });
        var batch = connection.createChannel();
        publishAll(batch, "batch", new ConcurrentSkipListMap<>());
        System.out.println("amqp-client: 10 published, waitForConfirms says " + batch.waitForConfirms(5000) + ", " + batch.messageCount("batch") + " in the queue");

        var single = connection.createChannel();
        var outstanding = new ConcurrentSkipListMap<Long, Integer>();
        ConfirmCallback confirmed = (number, multiple) -> { if (multiple) outstanding.headMap(number, true).clear(); else outstanding.remove(number); };
        single.addConfirmListener(confirmed, (number, multiple) -> System.out.println("refused"));
        publishAll(single, "single", outstanding);
        Thread.sleep(2000);
        System.out.println("amqp-client: 10 published, " + outstanding.size() + " outstanding by their numbers, " + single.messageCount("single") + " in the queue");
        var transaction = connection.createChannel();
        publishAll(transaction, "transaction", new ConcurrentSkipListMap<>());
        transaction.txCommit();
        System.out.println("amqp-client: 10 published in a transaction, which is committed, " + transaction.messageCount("transaction") + " in the queue");
        connection.close();
    }
}
JAVA
javac -cp 'lib/*' Publish.java
cat >publish.py <<'PY'
import asyncio, logging, pathlib, sys
from aio_pika import DeliveryMode, Message, connect_robust

logging.disable(logging.CRITICAL)

async def main():
    connection = await connect_robust(f"amqp://guest:guest@127.0.0.1:{sys.argv[1]}/", reconnect_interval=1)
    channel = await connection.channel(publisher_confirms=True)
    queue = await channel.declare_queue("aio", durable=True)
    publish = lambda number: asyncio.create_task(
        channel.default_exchange.publish(Message(str(number).encode(), delivery_mode=DeliveryMode.PERSISTENT), "aio"))
    tasks = [publish(number) for number in range(1, 4)]
    await asyncio.sleep(1)
    back = asyncio.Event()
    connection.reconnect_callbacks.add(lambda *_: back.set())
    pathlib.Path("stalled").touch()
    tasks += [publish(number) for number in range(4, 6)]
    await asyncio.sleep(0.5)
    pathlib.Path("cut").touch()
    await back.wait()
    tasks += [publish(number) for number in range(6, 11)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failed = sum(isinstance(outcome, BaseException) for outcome in outcomes)
    there = (await queue.declare()).message_count
    print(f"aio-pika: 10 published, {10 - failed} confirmed, {failed} raised, {there} in the queue")
    await connection.close()

asyncio.run(main())
PY
# Between client and broker. While the file "stalled" is there nothing reaches the broker; the file "cut" ends the connections, and the network is well again.
cat >proxy.py <<'PY'
import asyncio, os, sys

async def serve(reader, writer):
    to_reader, to_writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[2]))
    async def up():
        while data := await reader.read(65536):
            if not os.path.exists("stalled"):
                to_writer.write(data)
    async def down():
        while data := await to_reader.read(65536):
            writer.write(data)
    async def cut():
        while not os.path.exists("cut"):
            await asyncio.sleep(0.02)
        os.remove("stalled")
        os.remove("cut")
    parts = [asyncio.create_task(each()) for each in (up, down, cut)]
    await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    for part in parts:
        part.cancel()
    for each in (writer, to_writer):
        each.transport.abort()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
PY
echo "listeners.tcp.1 = 127.0.0.1:$amqp" >rabbitmq.conf
echo '[].' >plugins
env HOME="$dir" RABBITMQ_NODENAME="probe$amqp@localhost" RABBITMQ_DIST_PORT="$dist" ERL_EPMD_PORT="$epmd" RABBITMQ_MNESIA_BASE="$dir/mnesia" \
  RABBITMQ_LOG_BASE="$dir/log" RABBITMQ_ENABLED_PLUGINS_FILE="$dir/plugins" RABBITMQ_CONFIG_FILE="$dir/rabbitmq" RABBITMQ_PID_FILE="$dir/pid" \
  /usr/lib/rabbitmq/bin/rabbitmq-server >>out 2>&1 &
python3 proxy.py "$port" "$amqp" & proxy=$!
until grep -qs 'startup complete' log/*.log; do sleep 0.3; done
{
  timeout 90 java -cp 'lib/*:.' Publish "$port" 2>/dev/null
  timeout 60 venv/bin/python publish.py "$port"
} | tee seen
cat >expected <<'TXT'
amqp-client: 10 published, waitForConfirms says true, 8 in the queue
amqp-client: 10 published, 0 outstanding by their numbers, 8 in the queue
amqp-client: 10 published in a transaction, which is committed, 5 in the queue
aio-pika: 10 published, 8 confirmed, 2 raised, 8 in the queue
TXT
diff expected seen
