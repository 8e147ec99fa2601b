// Ports for servers: below those that the kernel assigns to outgoing connections, and above those of the tests and their Redis
// Clusters.

const FIRST_PORT = 30_000;
const LAST_PORT = 32_767;

let nextPort = FIRST_PORT + Math.floor(Math.random() * (LAST_PORT - FIRST_PORT));

/** The first of `count` ports in a row on which nobody listens. Servers that start at the same time never get the same ones. */
export function freePorts(count: number): number {
  for (let tried = FIRST_PORT; tried <= LAST_PORT; tried += count) {
    const first = nextPort + count - 1 > LAST_PORT ? FIRST_PORT : nextPort;
    nextPort = first + count;
    if (Array.from({ length: count }, (_, index) => first + index).every(isFree)) return first;
  }
  throw new Error(
    `no ${count} free ports in a row from ${FIRST_PORT} to ${LAST_PORT}: end what listens there (ss -ltnp)`,
  );
}

function isFree(port: number): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
}
