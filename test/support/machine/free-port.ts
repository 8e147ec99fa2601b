// A port that nobody listens on, for a server that must have the same address each time it starts.
import type { SocketListener } from "bun";

/**
 * Below the ports that the kernel gives to connections and to servers on port 0: it must not give this one to another test
 * meanwhile, and a client that tries while nobody listens must not be given it, since it would connect to itself. A node of a
 * Redis Cluster takes a second port, 10,000 above its own. Browsers and Node's fetch refuse to go to port 10,080.
 */
const FIRST = 10_100;
const LAST = 19_999;

/** Each process begins elsewhere, so that two that run tests at once seldom meet. */
let next = FIRST + ((process.pid * 101) % (LAST - FIRST));

/** Names that this process has taken: no other one that runs tests gets their ports while it lives, though nobody listens there. */
const taken: SocketListener<undefined>[] = [];

/** Returns a port that is free, and that this function returns in no other call, nor in other processes at the same time. */
export function freePort(): number {
  for (;;) {
    const port = next;
    next = next < LAST ? next + 1 : FIRST;
    try {
      using server = Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
      // In the abstract namespace of Linux, where a name goes with its process.
      const name = Bun.listen({ unix: `\0baton-tests-${port}`, socket: { data() {} } });
      name.unref();
      taken.push(name);
      return server.port;
    } catch (error) {
      // Somebody has it; whatever else is wrong is so with all ports.
      if ((error as { code?: string }).code !== "EADDRINUSE") throw error;
    }
  }
}
