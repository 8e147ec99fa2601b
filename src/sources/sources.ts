// The sources of this node: a runner for each, of which one over all nodes reads at a time.
import type { Log } from "../log";
import { type Engine, EngineUnavailable } from "../relay/contracts/engine";
import type { Publisher } from "../relay/publishing/publisher";
import type { Cluster } from "../relay/state/cluster";
import { Leadership } from "../relay/state/leadership";
import { sanitized } from "../relay/text/visible";
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
  /** Records that were gone before they were published, since that node began. */
  readonly lost: number;
  /** Why it is down. */
  readonly failure: string | undefined;
  /** See SourceTally. Nodes of the version before do not say it. */
  readonly failedMs?: number | undefined;
  readonly readMs?: number | undefined;
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

/** The set of the engine that has `donePosition` of partitions. */
const DONE = "source-done";
const DONE_BOUNDS = { max: 10_000, ttlMs: 31_536_000_000 };

/** Which of two nodes says more about a source: one that reads it, or tries to. */
const TELLING: readonly SourceState[] = ["waiting", "opening", "down", "held", "reading"];

/** A source, and what reads it here. */
interface ReadSource {
  readonly declaration: SourceDeclaration;
  readonly runner: Runner;
}

export class Sources {
  readonly #options: SourcesOptions;
  #read: readonly ReadSource[];
  /** What was replaced and may still be reading. */
  #ending: Promise<unknown> = Promise.resolve();
  #isStopped = false;

  constructor(options: SourcesOptions) {
    this.#options = options;
    this.#read = options.sources.map((declaration) => this.#made(declaration));
    options.relay.cluster.handle("sources", () => this.here);
  }

  #made(declaration: SourceDeclaration): ReadSource {
    return { declaration, runner: runnerOf(declaration, this.#options) };
  }

  /** From now on they are read, each on one node. */
  start(): void {
    for (const { runner } of this.#read) runner.start();
  }

  /** Reads these from now on. Those that are as before go on; what has changed begins where it was, and counts from 0. */
  replace(declarations: readonly SourceDeclaration[]): void {
    const kept = (declaration: SourceDeclaration) =>
      this.#read.find((one) => Bun.deepEquals(one.declaration, declaration));
    const next = declarations.map((declaration) => kept(declaration) ?? this.#made(declaration));
    const gone = this.#read.filter((one) => !next.includes(one));
    const made = next.filter((one) => !this.#read.includes(one));
    this.#read = next;
    // The new ones may be the same tables and streams, which are read by one at a time.
    this.#ending = this.#ending
      .then(() => Promise.all(gone.map(({ runner }) => runner.stop())))
      .then(() => {
        if (!this.#isStopped) for (const { runner } of made) runner.start();
      });
  }

  /** Resolves when no source is read any more here. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#ending;
    await Promise.all(this.#read.map(({ runner }) => runner.stop()));
  }

  /** What this node has counted, by the names of the sources. */
  get tallies(): readonly (readonly [name: string, tally: SourceTally])[] {
    return this.#read.map(({ declaration, runner }) => [declaration.name, runner.tally]);
  }

  /** How each source is, over all nodes. Rejects with EngineUnavailable. */
  async statuses(): Promise<readonly SourceStatus[]> {
    if (this.#read.length === 0) return [];
    const { cluster } = this.#options.relay;
    const { answers } = await cluster.survey<readonly SourceStatus[]>("sources", {});
    return overAllNodes([this.here, ...answers]);
  }

  /** How each source is on this node. */
  get here(): readonly SourceStatus[] {
    return this.#read.map(({ declaration: { name, kind }, runner: { tally } }) => {
      const { state, sinceMs, lag, lost, failedMs, readMs } = tally;
      const failure = state === "down" ? tally.failure : undefined;
      return { name, kind, state, sinceMs, lag, lost, failure, failedMs, readMs };
    });
  }
}

/** Each source as it is on the node that says most of it. */
export function overAllNodes(nodes: readonly (readonly SourceStatus[])[]): readonly SourceStatus[] {
  const byName = Map.groupBy(nodes.flat(), ({ name }) => name);
  return Array.from(byName.values(), (ofNodes) => {
    const best = ofNodes.reduce((a, b) =>
      TELLING.indexOf(b.state) > TELLING.indexOf(a.state) ? b : a,
    );
    return best.state === "down" ? { ...best, sinceMs: downMs(best, ofNodes) } : best;
  });
}

/** Nodes take turns at what is down: it is so since the first of them failed, unless another one has read it since. */
function downMs({ sinceMs }: SourceStatus, ofNodes: readonly SourceStatus[]): number {
  const failed = ofNodes.map(({ failedMs = 0 }) => failedMs);
  const read = ofNodes.map(({ readMs = Number.POSITIVE_INFINITY }) => readMs);
  return Math.min(Math.max(sinceMs, ...failed), ...read);
}

function runnerOf(declaration: SourceDeclaration, options: SourcesOptions): Runner {
  const { name, options: own, mapping: texts, topics, tombstones } = declaration;
  const { engine, relay, node, bodyBytes: bodyBytesMax, log } = options;
  const { publisher } = relay;
  const kind = SOURCE_KINDS[declaration.kind] as (typeof SOURCE_KINDS)[string];
  const warn = (sentence: string) => log.warn(`the source ${name}: ${sanitized(sentence)}`);
  const runner = new Runner({
    kind,
    options: own,
    context: {
      name,
      bodyBytesMax,
      warn,
      lost: (records, sentence) => {
        runner.tally.lost += records;
        warn(sentence);
      },
      lastPosition: async (partition) => {
        const last = await engine.positionOf(`${name}/${partition}`);
        return last === undefined ? undefined : recordPosition(last);
      },
      donePosition: async (partition) => engine.records.get(DONE, `${name}/${partition}`),
      keepDone: async (partition, position) => {
        try {
          await engine.records.put(DONE, `${name}/${partition}`, position, DONE_BOUNDS);
        } catch (error) {
          if (!(error instanceof EngineUnavailable)) throw error;
        }
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
  return runner;
}
