// Client libraries from npm, in Node, with the settings that docs/clients.md names for them. Arguments: the library, and the
// address of the relay. Each connection and each message is printed as a line of JSON.
import { EventSource } from "eventsource";
import * as undici from "undici";
import WebSocket from "ws";

const [library, relay] = process.argv.slice(2);
const TOPIC = "news";
const PAUSE_MS = 300;

const emit = (what) => console.log(JSON.stringify(what));

async function register() {
  const answer = await fetch(`${relay}/register`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user_id: library, topics: [TOPIC] }),
  });
  if (!answer.ok) throw new Error(await answer.text());
  return await answer.json();
}

const positions = {};

function onFrame(text) {
  const frame = JSON.parse(text);
  for (const [topic, { offset, epoch, recovered }] of Object.entries(frame.topics ?? {})) {
    if (!recovered) positions[topic] = { offset, epoch };
  }
  if (frame.topics) return;
  positions[frame.topic] = { offset: frame.offset, epoch: frame.epoch };
  emit({ data: frame.data });
}

/** Connects again after each close and each failure. */
async function connect(Socket) {
  const again = () => setTimeout(() => connect(Socket), PAUSE_MS);
  const registration = await register().catch(() => undefined);
  if (registration === undefined) return again();
  const socket = new Socket(`${registration.url}?format=json&heartbeat=2`);
  socket.onopen = () => {
    emit({ connected: true });
    socket.send(JSON.stringify({ topics: [TOPIC], since: positions }));
  };
  socket.onmessage = ({ data }) => onFrame(data);
  socket.onerror = () => {};
  socket.onclose = again;
}

/** Reconnects by itself; after an answer that is not 200 it has stopped, and a new one takes its place. */
async function listen(Source) {
  let last = "";
  const { sse } = await register();
  const open = () => {
    const events = new Source(last === "" ? sse : `${sse}?since=${encodeURIComponent(last)}`);
    events.onopen = () => emit({ connected: true });
    events.addEventListener(TOPIC, ({ data, lastEventId }) => {
      last = lastEventId;
      emit({ data });
    });
    events.onerror = () => {
      if (events.readyState === 2) setTimeout(open, PAUSE_MS);
    };
  };
  open();
}

// Nothing else keeps this program alive while an EventSource waits before it reconnects.
setInterval(() => {}, 60_000);

const LIBRARIES = {
  ws: () => connect(WebSocket),
  "undici WebSocket": () => connect(undici.WebSocket),
  eventsource: () => listen(EventSource),
  "undici EventSource": () => listen(undici.EventSource),
};
await LIBRARIES[library]();
