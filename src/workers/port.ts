// The port that the workers share. To the kernel a second relay that shares it looks like one more worker, so the supervisor
// first takes the port for itself alone, and then keeps a share of it until its workers listen: at no moment can another
// relay slip in unnoticed.
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
      const alone = Bun.serve({ ...common, port, reusePort: false });
      const number = alone.port ?? port;
      await alone.stop(true);
      const shared = Bun.serve({ ...common, port: number, reusePort: true });
      return { number, leave: () => shared.stop(true) };
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await Bun.sleep(RETRY_MS);
    }
  }
}

/** The answer to a request that arrives before the workers listen: the relay is alive, and not ready. */
function startingAnswer({ url }: Request): Response {
  if (pathOf(url) === LIVE_PATH) return ok();
  return refuse(starting(), { "retry-after": "1" });
}
