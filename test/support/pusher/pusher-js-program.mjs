// pusher-js, or Laravel Echo on top of it, in Node and under Bun: host, port, key, secret, user and "pusher-js" or "laravel-echo" are its
// arguments. It carries out the lines that it is given.
import { createHmac } from "node:crypto";
import { createInterface } from "node:readline";
import Echo from "laravel-echo";
import Pusher from "pusher-js";
import "./pusher-js-client.js";

const [, port, key, secret, user, library] = process.argv.slice(2);
const sign = async (text) => createHmac("sha256", secret).update(text).digest("hex");
const emit = (...values) => console.log(JSON.stringify(values));
const options = { port: Number(port), key, user };

/** Its names of channels have no prefixes: the kind of a channel is said by the call. */
function startEcho() {
  const client = globalThis.openPusher(Pusher, options, sign, emit);
  const echo = new Echo({ broadcaster: "reverb", client, key });
  const channelOf = (name) => {
    const [kind, ...rest] = name.split("-");
    if (kind === "private") return echo.private(rest.join("-"));
    return kind === "presence" ? echo.join(rest.join("-")) : echo.channel(name);
  };
  const subscribe = (name) => {
    const channel = channelOf(name);
    if (name.startsWith("presence-")) {
      // Members of other libraries have no info, of which Echo shows nothing else.
      const idOf = (info) => info?.id ?? "";
      channel.here((users) => emit("members", name, users.map(idOf).toSorted()));
      channel.joining((info) => emit("added", name, idOf(info)));
      channel.leaving((info) => emit("removed", name, idOf(info)));
    }
    channel.subscribed(() => emit("subscribed", name)).error(() => emit("refused", name));
    for (const event of globalThis.SHOWN_EVENTS) {
      channel.listen(`.${event}`, (data) => emit("event", name, event, JSON.stringify(data)));
    }
  };
  return (line) => {
    const [call, name] = line.split(" ");
    if (call === "subscribe") subscribe(name);
    else channelOf(name).whisper("typing", { n: 1 });
  };
}

const carryOut =
  library === "laravel-echo"
    ? startEcho()
    : globalThis.startPusherClient(Pusher, options, sign, emit);
for await (const line of createInterface({ input: process.stdin })) carryOut(line);
process.exit(0);
