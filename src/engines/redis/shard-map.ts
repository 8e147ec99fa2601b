// Which of several servers a name belongs to: the one whose hash with the name is the greatest (rendezvous hashing, Thaler and
// Ravishankar 1998). Adding or removing a server moves only the names that it gains or loses.

interface Entry<Server> {
  readonly seed: number;
  readonly server: Server;
}

export class ShardMap<Server> {
  readonly #entries: readonly Entry<Server>[];

  /**
   * The order of the addresses does not matter, nor whether they spell out default port and database, nor their user and password.
   */
  constructor(urls: readonly string[], make: (url: string) => Server) {
    this.#entries = urls.map((url) => {
      const { hostname, port, pathname } = new URL(url);
      const database = pathname.slice(1) || "0";
      const address = `${hostname.toLowerCase()}:${port || "6379"}/${database}`;
      return { seed: Bun.hash.xxHash32(address), server: make(url) };
    });
  }

  get all(): readonly Server[] {
    return this.#entries.map(({ server }) => server);
  }

  /** The server of a name. Cost: the number of servers. */
  of(name: string): Server {
    const [first, ...others] = this.#entries as [Entry<Server>, ...Entry<Server>[]];
    if (others.length === 0) return first.server;
    let best = first;
    let greatest = Bun.hash.xxHash32(name, first.seed);
    for (const entry of others) {
      const hash = Bun.hash.xxHash32(name, entry.seed);
      if (hash <= greatest) continue;
      best = entry;
      greatest = hash;
    }
    return best.server;
  }
}
