// The table of all series: name, type, labels, how processes are added up, what each says, and where it is read.
// docs/metrics.md is generated from it (`bun run reference`). Names and units follow Prometheus' conventions.
import { ERRORS, type ErrorCode } from "../relay/contracts/errors";
import type { Histogram, ProtocolTally, Tally } from "../relay/contracts/tally";
import type { SourceTally } from "../sources/tally";
import type { CallTally } from "./metered-engine";
import type { Labels, MeteredNode, MeteredProcess, QuestionTally, Sample } from "./metered-process";

export interface Series {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels: readonly string[];
  /** What the value of several processes of one relay is. */
  readonly together: "sum" | "max" | "min" | "first";
  read(process: MeteredProcess): Iterable<Sample>;
}

const ALONE: Labels = {};

type Described = Pick<Series, "help"> & Partial<Pick<Series, "labels" | "together">>;

function series(
  type: Series["type"],
  { help, labels = [], together = "sum" }: Described,
  read: Series["read"],
): Series {
  return { type, help, labels, together, read };
}

/** A series of a process that takes connections. */
function ofNode(
  type: Series["type"],
  described: Described,
  read: (node: MeteredNode) => Iterable<Sample>,
): Series {
  return series(type, described, ({ node }) => (node === undefined ? [] : read(node)));
}

/** A series of what a node has counted. */
function tallied(
  type: Series["type"],
  described: Described,
  read: (tally: Tally) => Iterable<Sample>,
): Series {
  return ofNode(type, described, ({ relay }) => read(relay.tally));
}

/** The sample of an engine that counts its bytes, and none of another one. */
function bytesOf(bytes: number | undefined): Sample[] {
  return bytes === undefined ? [] : [[ALONE, bytes]];
}

/** A series about questions to the backend. */
function asked(
  type: Series["type"],
  described: Described,
  read: (questions: QuestionTally) => Iterable<Sample>,
): Series {
  return ofNode(type, described, ({ proxies }) => read(proxies.tally));
}

/** A series with a value for each protocol that was spoken. */
function byProtocol(
  type: Series["type"],
  help: string,
  read: (tally: ProtocolTally) => number,
): Series {
  return tallied(type, { help, labels: ["protocol"] }, ({ protocols }) =>
    Array.from(protocols, ([protocol, tally]) => [{ protocol }, read(tally)]),
  );
}

/** A series with a value for each kind of engine call. */
function byCall(
  type: Series["type"],
  help: string,
  read: (tally: CallTally) => number | Histogram,
): Series {
  return series(type, { help, labels: ["call"] }, ({ node }) =>
    Object.entries(node?.engine.calls ?? {}).map(([call, tally]) => [{ call }, read(tally)]),
  );
}

/** A series of each source that BATON_SOURCES_FILE declares. */
function bySource(
  type: Series["type"],
  { help, labels = [], together = "sum" }: Described,
  read: (tally: SourceTally) => Iterable<Sample>,
): Series {
  return series(type, { help, labels: ["source", ...labels], together }, ({ node }) =>
    (node?.sources.tallies ?? []).flatMap(([source, tally]) =>
      Array.from(read(tally), ([own, value]): Sample => [{ source, ...own }, value]),
    ),
  );
}

export const SERIES: Readonly<Record<string, Series>> = {
  baton_build_info: series(
    "gauge",
    {
      help: "Always 1; the labels say which version of Baton runs, of which commit if it is a binary, and on which version of Bun.",
      labels: ["version", "revision", "bun"],
      together: "first",
    },
    ({ version, revision }) => [[{ version, revision, bun: Bun.version }, 1]],
  ),
  baton_processes: series(
    "gauge",
    { help: "Processes of this relay: its workers and their supervisor, or 1." },
    () => [[ALONE, 1]],
  ),
  baton_tls_certificate_expiry_timestamp_seconds: series(
    "gauge",
    {
      help: "When the TLS certificate that new connections get expires, as a Unix time. Only with BATON_TLS_CERT.",
      together: "min",
    },
    ({ node }) => {
      const certificate = node?.certificate();
      return certificate === undefined ? [] : [[ALONE, certificate.expiresAt / 1_000]];
    },
  ),
  baton_connections: byProtocol("gauge", "Open connections.", ({ open }) => open),
  baton_connections_limit: series(
    "gauge",
    { help: "How many connections may be open (BATON_CONNECTIONS_MAX).", together: "max" },
    ({ connectionsMax }) => [[ALONE, connectionsMax]],
  ),
  baton_connections_opened_total: byProtocol(
    "counter",
    "Connections that were opened.",
    ({ opened }) => opened,
  ),
  baton_connections_closed_total: tallied(
    "counter",
    {
      help: "Connections that have closed, by close code; none stands for a stream that its client has ended, other for a code that a client or backend has chosen.",
      labels: ["code"],
    },
    ({ closed }) => Array.from(closed, ([code, count]) => [{ code }, count]),
  ),
  baton_slow_consumers_total: tallied(
    "counter",
    {
      help: "Connections that were closed because more than BATON_BACKPRESSURE_BYTES were waiting for them.",
    },
    ({ slowConsumers }) => [[ALONE, slowConsumers]],
  ),
  baton_registrations: ofNode(
    "gauge",
    { help: "Registrations that wait for their clients to connect.", together: "max" },
    ({ relay }) => [[ALONE, relay.counts.registrations]],
  ),
  baton_topics: ofNode(
    "gauge",
    { help: "Topics with connections, added up over the processes that have them." },
    ({ relay }) => [[ALONE, relay.counts.topics]],
  ),
  baton_publications_total: tallied(
    "counter",
    { help: "Publications that this relay has acknowledged, repetitions included." },
    ({ publications }) => [[ALONE, publications]],
  ),
  baton_deliveries_total: byProtocol(
    "counter",
    "Publications that were sent live, once for each connection.",
    ({ deliveries }) => deliveries,
  ),
  baton_delivered_bytes_total: byProtocol(
    "counter",
    "Bytes of the frames of these deliveries, without what WebSocket, HTTP and TLS add.",
    ({ deliveredBytes }) => deliveredBytes,
  ),
  baton_publication_departure_seconds: tallied(
    "histogram",
    {
      help: "Time from the acceptance of a publication by the engine until all that it was sent to in this process has left, for publications that anybody was sent; one that leaves at once to few of them counts as no time.",
    },
    ({ departures }) => [[ALONE, departures]],
  ),
  baton_wave_publications: tallied(
    "histogram",
    { help: "Publications that left for the sockets together; the count is the number of waves." },
    ({ waveSizes }) => [[ALONE, waveSizes]],
  ),
  baton_recoveries_total: tallied(
    "counter",
    {
      help: "Topics for which a client gave a position: everything since was sent (recovered), or could not be (lost).",
      labels: ["outcome"],
    },
    ({ recoveries }) => Object.entries(recoveries).map(([outcome, count]) => [{ outcome }, count]),
  ),
  baton_refusals_total: tallied(
    "counter",
    { help: "Refusals, over HTTP and on sockets, by error code.", labels: ["code"] },
    ({ refusals }) =>
      (Object.keys(ERRORS) as ErrorCode[]).map((code) => [{ code }, refusals.get(code) ?? 0]),
  ),
  baton_history_bytes: series(
    "gauge",
    {
      help: "What the histories of all topics take; not with Redis, which counts its memory itself.",
    },
    ({ historyBytes }) => bytesOf(historyBytes()),
  ),
  baton_history_limit_bytes: series(
    "gauge",
    { help: "What the histories may take (BATON_HISTORY_BYTES).", together: "max" },
    ({ historyBytesMax }) => [[ALONE, historyBytesMax]],
  ),
  baton_store_bytes: series(
    "gauge",
    {
      help: "What the engine keeps besides histories takes: what waits to be told or sent, and devices; not with Redis.",
    },
    ({ storeBytes }) => bytesOf(storeBytes()),
  ),
  baton_store_limit_bytes: series(
    "gauge",
    { help: "What that may take (BATON_STORE_BYTES).", together: "max" },
    ({ storeBytesMax }) => [[ALONE, storeBytesMax]],
  ),
  baton_engine_call_duration_seconds: byCall(
    "histogram",
    "Time that calls to the engine took which were answered, by call; with workers it includes the way to the supervisor. An answer at once, as the memory engine gives it, counts as no time.",
    ({ durations }) => durations,
  ),
  baton_engine_errors_total: byCall(
    "counter",
    "Calls to the engine that failed, because its store was out of reach or did not answer in time.",
    ({ errors }) => errors,
  ),
  baton_proxy_questions_total: asked(
    "counter",
    {
      help: "Questions to the backend by what came of them: granted or refused as it said, or shared with another client that had just asked the same.",
      labels: ["question", "outcome"],
    },
    ({ answers }) => answers,
  ),
  baton_proxy_failures_total: asked(
    "counter",
    {
      help: "Questions that the backend did not answer, by reason: busy (too many waited, or this one too long), timeout, connection, status (none of 200), too_large, answer (one that makes no sense).",
      labels: ["question", "reason"],
    },
    ({ failures }) => failures,
  ),
  baton_proxy_duration_seconds: asked(
    "histogram",
    {
      help: "Time from a question to its answer or failure, with the time that it waited for others.",
      labels: ["question"],
    },
    ({ durations }) => Array.from(durations, ([question, one]) => [{ question }, one]),
  ),
  baton_proxy_running: asked(
    "gauge",
    {
      help: "Questions that the backend is being asked (at most BATON_PROXY_CALLS_MAX of each address in each process).",
    },
    ({ running }) => [[ALONE, running]],
  ),
  baton_proxy_waiting: asked(
    "gauge",
    {
      help: "Questions that wait for others to be answered (at most BATON_PROXY_WAITING_MAX for each address in each process).",
    },
    ({ waiting }) => [[ALONE, waiting]],
  ),
  baton_webhook_events_waiting: ofNode(
    "gauge",
    { help: "Events that receivers of webhooks have not taken yet, added up over the receivers." },
    ({ webhooks }) => [[ALONE, webhooks.figures.waiting]],
  ),
  baton_webhook_late_seconds: ofNode(
    "gauge",
    {
      help: "For how long the oldest event has waited that a receiver of webhooks does not take; 0 where all take what they are sent.",
      together: "max",
    },
    ({ webhooks }) => [[ALONE, webhooks.figures.lateMs / 1_000]],
  ),
  baton_webhook_events_total: ofNode(
    "counter",
    {
      help: "Events that a receiver of webhooks has taken (sent), or will never be told of because it did not take them in time or too many waited (given_up).",
      labels: ["outcome"],
    },
    ({ webhooks }) => [
      [{ outcome: "sent" }, webhooks.figures.sent],
      [{ outcome: "given_up" }, webhooks.figures.givenUp],
    ],
  ),
  baton_source_reading: bySource(
    "gauge",
    {
      help: "Whether a process reads this source (1), or none does: its server is down, or another node reads it (0).",
      together: "max",
    },
    ({ state }) => [[ALONE, Number(state === "reading" || state === "held")]],
  ),
  baton_source_lag_records: bySource(
    "gauge",
    {
      help: "Records of a source that wait to be read, about, where its server says so. Counted every 5 seconds, of an outbox up to 100,000.",
    },
    ({ lag }) => (lag === undefined ? [] : [[ALONE, lag]]),
  ),
  baton_source_records_total: bySource(
    "counter",
    {
      help: "Records of a source that were acknowledged to it: those that were to be published (read), and those of them that are in its dead-letter place (dead) or had no body and were skipped (skipped). And those that were gone before they could be (lost), where that is seen.",
      labels: ["outcome"],
    },
    ({ read, dead, skipped, lost }) =>
      Object.entries({ read, dead, skipped, lost }).map(([outcome, count]) => [{ outcome }, count]),
  ),
  baton_source_publications_total: bySource(
    "counter",
    {
      help: "Publications of a source: those that the engine took (published), and those that it had before and dropped (repeated).",
      labels: ["outcome"],
    },
    ({ published, repeated }) =>
      Object.entries({ published, repeated }).map(([outcome, count]) => [{ outcome }, count]),
  ),
  baton_pushes_waiting: series(
    "gauge",
    {
      help: "Publications with a push that wait to be taken or pushed, and pushes that wait to be tried again. Only with Web Push.",
    },
    ({ node }) => (node?.webPush === undefined ? [] : [[ALONE, node.webPush.figures.waiting]]),
  ),
  baton_pushes_total: series(
    "counter",
    {
      help: "Pushes by what became of them. For a device: accepted by its push service, gone (the device, which is forgotten), refused for good, unknown because the relay died while it was sent, given_up after its time, collapsed into a newer one, retried (an attempt that was put off). withdrawn: a connection has taken the publication. undelivered: a backend was told that nobody has it. Only with Web Push.",
      labels: ["outcome"],
    },
    ({ node }) =>
      Object.entries(node?.webPush?.figures.outcomes ?? {}).map(([outcome, count]) => [
        { outcome },
        count,
      ]),
  ),
  baton_event_loop_delay_seconds: series(
    "histogram",
    { help: "How late the event loop was, measured four times a second in each process." },
    ({ loopDelays }) => [[ALONE, loopDelays]],
  ),
  process_cpu_seconds_total: series(
    "counter",
    { help: "CPU time that the processes have used, in seconds." },
    () => {
      const { user, system } = process.cpuUsage();
      return [[ALONE, (user + system) / 1_000_000]];
    },
  ),
  process_resident_memory_bytes: series(
    "gauge",
    { help: "Memory that the processes have in RAM, added up; what they share counts for each." },
    () => [[ALONE, process.memoryUsage.rss()]],
  ),
  process_start_time_seconds: series(
    "gauge",
    { help: "When the oldest process was started, in Unix time.", together: "min" },
    () => [[ALONE, Math.round((Date.now() - performance.now()) / 1_000)]],
  ),
};
