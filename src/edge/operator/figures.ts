// The stream of figures: once a second, all that each node counts goes to the connections in FIGURES_TOPIC, as a publication
// without a position. It costs nothing while nobody is in the topic. Its name begins with "$", so that only clients get there
// whom a backend, which has the key, registers with it.
import {
  type AllFigures,
  FIGURES_TOPIC,
  type NodeFigures,
  type SupervisorUsage,
  type WayOutFigures,
} from "../../console/node-figures";
import type { Log } from "../../log";
import type { Relay } from "../../relay/relay";
import { overAllNodes, type SourceStatus, type Sources } from "../../sources/sources";

const PERIOD_MS = 1_000;

/** Ends of slow consumers in the figures of one node. */
const SLOW_MAX = 20;

interface OwnFigures extends NodeFigures {
  readonly sources: readonly SourceStatus[];
}

interface FiguresOptions {
  readonly relay: Relay;
  readonly sources: Pick<Sources, "here">;
  readonly waysOut: () => readonly WayOutFigures[];
  /** The name of this node. */
  readonly node: string;
  readonly log: Log;
  /** What the supervisor takes, where this is one of its workers. */
  readonly supervisorUsage: (() => SupervisorUsage | undefined) | undefined;
}

export class Figures {
  readonly #relay: Relay;
  readonly #sources: FiguresOptions["sources"];
  readonly #waysOut: FiguresOptions["waysOut"];
  readonly #node: string;
  readonly #log: Log;
  readonly #supervisorUsage: FiguresOptions["supervisorUsage"];
  readonly #timer: ReturnType<typeof setInterval>;
  #isAsking = false;

  constructor({ relay, sources, waysOut, node, log, supervisorUsage }: FiguresOptions) {
    this.#relay = relay;
    this.#sources = sources;
    this.#waysOut = waysOut;
    this.#node = node;
    this.#log = log;
    this.#supervisorUsage = supervisorUsage;
    relay.cluster.handle("figures", () => this.#read());
    this.#timer = setInterval(() => this.#publish(), PERIOD_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #publish(): Promise<void> {
    const { directory, cluster, waves } = this.#relay;
    if (this.#isAsking || directory.subscribersHere(FIGURES_TOPIC) === 0) return;
    this.#isAsking = true;
    try {
      const { answers, silent } = await cluster.survey<OwnFigures>("figures", {});
      const nodes = [this.#read(), ...answers];
      // A node of the version before may have none.
      const sources = overAllNodes(nodes.map((node) => node.sources ?? []));
      const figures: AllFigures = { at: Date.now(), silent, nodes, sources };
      waves.deliver({ topic: FIGURES_TOPIC, data: JSON.stringify(figures), json: true });
    } catch (error) {
      this.#log.debug({ err: error }, "the figures of other nodes cannot be had");
    } finally {
      this.#isAsking = false;
    }
  }

  #read(): OwnFigures {
    const { tally, connections, counts } = this.#relay;
    const protocols = [...tally.protocols];
    const { user, system } = process.cpuUsage();
    return {
      node: this.#node,
      open: Object.fromEntries(protocols.map(([name, { open }]) => [name, open])),
      deliveries: protocols.reduce((sum, [, { deliveries }]) => sum + deliveries, 0),
      publications: tally.publications,
      departures: { bounds: tally.departures.bounds, counts: tally.departures.counts },
      refusals: Object.fromEntries(tally.refusals),
      slowConsumers: tally.slowConsumers,
      slow: this.#slow(),
      topics: counts.topics,
      users: connections.users,
      cpuMs: (user + system) / 1_000,
      memoryBytes: process.memoryUsage.rss(),
      sources: this.#sources.here,
      waysOut: this.#waysOut(),
      supervisor: this.#supervisorUsage?.(),
    };
  }

  #slow(): NodeFigures["slow"] {
    const { connections } = this.#relay;
    const now = performance.now();
    const found = [];
    for (const { user, protocol, why, at } of connections.journal.ends) {
      if (why === "slow_consumer") found.push({ user, protocol, agoMs: now - at });
      if (found.length === SLOW_MAX) break;
    }
    return found;
  }
}
