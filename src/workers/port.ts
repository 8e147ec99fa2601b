// The port that workers share. Sharing is what a second relay would do by mistake too, so the first holds it alone for a
// moment, and then with those who share until its workers listen: at no time can another relay take it unseen.
import type { Settings } from "../settings/definitions";

/** How long the workers of a relay that was killed may take to leave the port. */
const LEAVE_MS = 2_000;

/** A port that is held for workers. */
export interface Port {
  readonly number: number;
  /** To be called when the workers listen. */
  leave(): void;
}

/** Rejects with what Bun throws when it cannot be had. */
export async function holdPort({ host: hostname, port }: Settings): Promise<Port> {
  const patience = performance.now() + LEAVE_MS;
  for (;;) {
    try {
      const alone = Bun.serve({ hostname, port, reusePort: false, fetch: comeBack });
      const number = alone.port ?? port;
      await alone.stop(true);
      const shared = Bun.serve({ hostname, port: number, reusePort: true, fetch: comeBack });
      return { number, leave: () => void shared.stop(true) };
    } catch (error) {
      if (performance.now() > patience) throw error;
      await Bun.sleep(50);
    }
  }
}

/** To who comes before the workers. */
function comeBack(): Response {
  return new Response("starting", { status: 503, headers: { "retry-after": "1" } });
}
