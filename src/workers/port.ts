// The port that the workers share. To the kernel a second relay that shares it looks like one more worker, so the supervisor
// first takes the port for itself alone, and then keeps a share of it until its workers listen. Relays do so one after the other, so
// that at no moment another one can slip in unnoticed.
import type { UnixSocketListener } from "bun";
import { pathOf } from "../edge/access/address";
import { LIVE_PATH, ok } from "../edge/http/health";
import { refuse } from "../edge/http/refusal";
import { starting } from "../relay/contracts/errors";
import type { Settings } from "../settings/definitions";

/** How long the workers of a relay that was killed may take to leave the port. */
const TAKEOVER_MS = 2_000;

const RETRY_MS = 50;

/** A port that is reserved for the workers. */
interface ReservedPort {
  readonly number: number;
  /** To be called when the workers listen. */
  leave(): Promise<void>;
}

/** Rejects with what Bun throws when the port cannot be had. */
export async function reservePort({
  host: hostname,
  port,
  certificate,
}: Settings): Promise<ReservedPort> {
  const tls = certificate && { cert: certificate.cert, key: certificate.key };
  const common = { hostname, fetch: startingAnswer, ...(tls && { tls }) };
  const deadline = performance.now() + TAKEOVER_MS;
  for (;;) {
    try {
      const turn = takeTurn(port);
      try {
        const alone = Bun.serve({ ...common, port, reusePort: false });
        const number = alone.port ?? port;
        await alone.stop(true);
        const shared = Bun.serve({ ...common, port: number, reusePort: true });
        return { number, leave: () => shared.stop(true) };
      } finally {
        turn?.stop(true);
      }
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await Bun.sleep(RETRY_MS);
    }
  }
}

/**
 * Lets one relay at a time go from having the port alone to sharing it: of two that start at once, each could otherwise have it alone
 * while the other has let go of it, and then both would share it. The name stands in Linux's abstract namespace: like ports, it belongs to
 * the network namespace, and it is free again when its process has died. Throws EADDRINUSE where somebody else has it. A sandbox
 * that forbids such names does not keep the relay from starting.
 */
function takeTurn(port: number): UnixSocketListener<undefined> | undefined {
  // A port that the kernel chooses is nobody else's.
  if (port === 0 || process.platform !== "linux") return undefined;
  try {
    return Bun.listen({ unix: `\0baton-port-${port}`, socket: { data() {} } });
  } catch (error) {
    if ((error as { code?: unknown }).code === "EADDRINUSE") throw error;
    return undefined;
  }
}

/** The answer to a request that arrives before the workers listen: the relay is alive, and not ready. */
function startingAnswer({ url }: Request): Response {
  if (pathOf(url) === LIVE_PATH) return ok();
  return refuse(starting(), { "retry-after": "1" });
}
