// A client of pusher-js, for tests, in a page, in Node and under Bun. It takes the calls and prints the events of
// test/python/pusher_client.py. `sign` resolves with the signature of a text as the user's backend would give it, and `emit` takes an event.

/** Events that a channel shows. */
globalThis.SHOWN_EVENTS = ["order", "client-typing", "pusher:cache_miss"];

globalThis.openPusher = (Pusher, { port, key, user }, sign, emit) => {
  const pusher = new Pusher(key, {
    cluster: "",
    wsHost: "127.0.0.1",
    wsPort: port,
    forceTLS: false,
    enabledTransports: ["ws"],
    channelAuthorization: {
      customHandler: async ({ socketId, channelName }, callback) => {
        const isPresence = channelName.startsWith("presence-");
        // Laravel Echo shows the info alone.
        const member = { user_id: user, user_info: { id: user } };
        const channel_data = isPresence ? JSON.stringify(member) : undefined;
        const text = [socketId, channelName, channel_data].filter((part) => part !== undefined);
        callback(null, { auth: `${key}:${await sign(text.join(":"))}`, channel_data });
      },
    },
  });
  pusher.connection.bind("state_change", ({ current }) =>
    emit("state", current, pusher.connection.socket_id ?? ""),
  );
  // What the relay says is within another error when a close came with it.
  pusher.connection.bind("error", ({ data, error }) =>
    emit("error", String((data ?? error?.data)?.code ?? "")),
  );
  return pusher;
};

globalThis.startPusherClient = (Pusher, options, sign, emit) => {
  const pusher = globalThis.openPusher(Pusher, options, sign, emit);
  const subscribe = (name) => {
    const channel = pusher.subscribe(name);
    channel.bind("pusher:subscription_succeeded", (members) => {
      if (members?.count !== undefined) {
        emit("members", name, Object.keys(members.members).toSorted());
      }
      emit("subscribed", name);
    });
    channel.bind("pusher:subscription_error", () => emit("refused", name));
    for (const event of globalThis.SHOWN_EVENTS) {
      channel.bind(event, (data) => emit("event", name, event, JSON.stringify(data)));
    }
    channel.bind("pusher:member_added", ({ id }) => emit("added", name, id));
    channel.bind("pusher:member_removed", ({ id }) => emit("removed", name, id));
  };
  return (line) => {
    const [call, name] = line.split(" ");
    if (call === "subscribe") subscribe(name);
    else pusher.channel(name).trigger("client-typing", { n: 1 });
  };
};
