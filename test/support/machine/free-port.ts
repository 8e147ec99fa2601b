// A port that nobody listens on, for a server that must have the same address each time it starts.

/** Returns a port that was free a moment ago. */
export function freePort(): number {
  using server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  return server.port;
}
