// The sources of this node: a runner for each, of which one over all nodes reads at a time.
import { type Log, sanitized } from "../log";
import type { Engine } from "../relay/contracts/engine";
import type { Publisher } from "../relay/publishing/publisher";
import type { Cluster } from "../relay/state/cluster";
import { Leadership } from "../relay/state/leadership";
import type { SourceDeclaration } from "./declarations";
import { SOURCE_KINDS } from "./index";
import { recordPosition } from "./publications";
import { Runner } from "./runner";
import { RecordShape } from "./shapes/record-shape";
import type { SourceState, SourceTally } from "./tally";

/** How a source is, as nodes tell each other. */
export interface SourceStatus {
  readonly name: string;
  readonly kind: string;
  readonly state: SourceState;
  /** How long it has been so. */
  readonly sinceMs: number;
  readonly lag: number | undefined;
}

interface SourcesOptions {
  readonly sources: readonly SourceDeclaration[];
  readonly engine: Engine;
  readonly relay: { readonly publisher: Publisher; readonly cluster: Cluster };
  /** The name of this node. */
  readonly node: string;
  readonly bodyBytes: number;
  readonly log: Log;
}

/** Which of two nodes says more about a source: one that reads it, or tries to. */
const TELLING: readonly SourceState[] = ["waiting", "opening", "down", "held", "reading"];

export class Sources {
  readonly #declarations: readonly SourceDeclaration[];
  readonly #runners: readonly Runner[];
  readonly #cluster: Cluster;

  constructor(options: SourcesOptions) {
    const { sources: declarations, relay } = options;
    this.#declarations = declarations;
    this.#cluster = relay.cluster;
    this.#runners = declarations.map((declaration) => runnerOf(declaration, options));
    relay.cluster.handle("sources", () => this.here);
  }

  /** From now on they are read, each on one node. */
  start(): void {
    for (const runner of this.#runners) runner.start();
  }

  /** Resolves when no source is read any more here. */
  async stop(): Promise<void> {
    await Promise.all(this.#runners.map((runner) => runner.stop()));
  }

  /** What this node has counted, by the names of the sources. */
  get tallies(): readonly (readonly [name: string, tally: SourceTally])[] {
    return this.#declarations.map(({ name }, i) => [name, (this.#runners[i] as Runner).tally]);
  }

  /** How each source is, over all nodes. Rejects with EngineUnavailable. */
  async statuses(): Promise<readonly SourceStatus[]> {
    if (this.#declarations.length === 0) return [];
    const answers = await this.#cluster.request<readonly SourceStatus[] | null>("sources", {});
    return overAllNodes([this.here, ...answers.map((answer) => answer ?? [])]);
  }

  /** How each source is on this node. */
  get here(): readonly SourceStatus[] {
    return this.#declarations.map(({ name, kind }, i) => {
      const { state, sinceMs, lag } = (this.#runners[i] as Runner).tally;
      return { name, kind, state, sinceMs, lag };
    });
  }
}

/** Each source as it is on the node that says most of it. */
function overAllNodes(nodes: readonly (readonly SourceStatus[])[]): readonly SourceStatus[] {
  const best = new Map<string, SourceStatus>();
  for (const status of nodes.flat()) {
    const before = best.get(status.name);
    const isBetter =
      before === undefined || TELLING.indexOf(status.state) > TELLING.indexOf(before.state);
    if (isBetter) best.set(status.name, status);
  }
  return [...best.values()];
}

function runnerOf(declaration: SourceDeclaration, options: SourcesOptions): Runner {
  const { name, options: own, mapping: texts, topics, tombstones } = declaration;
  const { engine, relay, node, bodyBytes: bodyBytesMax, log } = options;
  const { publisher } = relay;
  const kind = SOURCE_KINDS[declaration.kind] as (typeof SOURCE_KINDS)[string];
  return new Runner({
    kind,
    options: own,
    context: {
      name,
      bodyBytesMax,
      warn: (sentence) => log.warn(`the source ${name}: ${sanitized(sentence)}`),
      lastPosition: async (partition) => {
        const last = await engine.positionOf(`${name}/${partition}`);
        return last === undefined ? undefined : recordPosition(last);
      },
    },
    mapping: new RecordShape({
      texts,
      tombstones,
      kind: kind.isRow ? "row" : "body",
      bodyBytesMax,
    }),
    topics,
    check: (command) => publisher.checkRecord(command),
    publish: (partition, records) => publisher.publishRecords(partition, records),
    leadership: new Leadership(engine.groups, node, `source ${name}`),
    log,
  });
}
