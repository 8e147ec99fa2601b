// Which of several servers a name belongs to: the one whose hash with it is the greatest (rendezvous hashing, Thaler and
// Ravishankar 1998), so that a server more or less moves only the names that it gains or loses.

interface Place<Server> {
  readonly seed: number;
  readonly server: Server;
}

export class ShardMap<Server> {
  readonly #places: readonly Place<Server>[];

  /**
   * The order of the addresses does not matter, nor whether they spell out what is so by default; user and password are no
   * part of what counts.
   */
  constructor(urls: readonly string[], make: (url: string) => Server) {
    this.#places = urls.map((url) => {
      const { hostname, port, pathname } = new URL(url);
      const database = pathname.slice(1) || "0";
      const place = `${hostname.toLowerCase()}:${port || "6379"}/${database}`;
      return { seed: Bun.hash.xxHash32(place), server: make(url) };
    });
  }

  get all(): readonly Server[] {
    return this.#places.map(({ server }) => server);
  }

  /** Cost: the number of servers. */
  of(name: string): Server {
    const [first, ...others] = this.#places as [Place<Server>, ...Place<Server>[]];
    if (others.length === 0) return first.server;
    let best = first;
    let most = Bun.hash.xxHash32(name, first.seed);
    for (const place of others) {
      const hash = Bun.hash.xxHash32(name, place.seed);
      if (hash <= most) continue;
      best = place;
      most = hash;
    }
    return best.server;
  }
}
