// A port that nobody listens on, for a server that must have the same address each time it starts.
/**
 * Below the ports that the kernel gives to connections and to servers on port 0: it must not give this one to another test
 * meanwhile. A node of a Redis Cluster takes a second port, 10,000 above its own.
 */
const FIRST = 10_000;
const LAST = 19_999;

/** Each process begins elsewhere, so that two that run tests at once do not take the same ones. */
let next = FIRST + ((process.pid * 101) % (LAST - FIRST));

/** Returns a port that is free, and that this function does not return again. */
export function freePort(): number {
  for (;;) {
    const port = next;
    next = next < LAST ? next + 1 : FIRST;
    try {
      using server = Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
      return server.port;
    } catch {
      // Somebody has it.
    }
  }
}
