// The settings about what is kept and where, of the table in definitions.ts.
import { INT32_MAX, isEngine, matching, whole, withoutPasswords } from "./kinds";

export const HISTORY = {
  engine: matching({
    variable: "BATON_ENGINE",
    secret: "text",
    shown: withoutPasswords,
    default: "memory",
    allowed:
      "memory, sqlite:<file> or redis://<host>:<port>; several Redis addresses are separated by commas",
    accepts: isEngine,
    description:
      "Where publications, idempotency keys and registrations are kept: in memory until the process ends, in a SQLite file that survives it on this machine, or in Redis, which several nodes share. Topics are spread over several Redis servers; every node must have the same list.",
  }),
  redisPrefix: matching({
    variable: "BATON_REDIS_PREFIX",
    default: "baton",
    allowed: "1 to 64 letters, digits, dots, dashes and underscores",
    accepts: (value) => /^[\w.-]{1,64}$/.test(value),
    description:
      "What the names of Baton's keys and channels in Redis begin with. Nodes with the same prefix are one relay, and other programs can use the same server.",
  }),
  historySize: whole({
    variable: "BATON_HISTORY_SIZE",
    default: 100,
    min: 0,
    max: 1_000_000,
    unit: "publications",
    description:
      "How many publications each topic keeps, so that a client that reconnects gets what it missed. 0 keeps no history.",
  }),
  historyTtlMs: whole({
    variable: "BATON_HISTORY_TTL_MS",
    default: 300_000,
    min: 0,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How long each publication is kept. The default is longer than clients are usually away. 0 keeps no history.",
  }),
  historyBytes: whole({
    variable: "BATON_HISTORY_BYTES",
    default: 268_435_456,
    min: 65_536,
    max: 2 ** 40,
    unit: "bytes",
    description:
      "How much the histories of all topics may take, in memory or in the SQLite file. Beyond that, the histories of the least recently used topics are evicted.",
  }),
  storeBytes: whole({
    variable: "BATON_STORE_BYTES",
    default: 134_217_728,
    min: 65_536,
    max: 2 ** 40,
    unit: "bytes",
    description:
      "How much the relay may keep besides histories, in memory or in the SQLite file: what waits to be told or sent, and devices. Beyond that, nothing more is kept until some of it is done or expires; what is kept stays. In Redis, its own maxmemory counts. The default is 128 MiB: about 80,000 devices in memory, or 300,000 events that wait.",
  }),
  idempotencyMs: whole({
    variable: "BATON_IDEMPOTENCY_MS",
    default: 300_000,
    min: 1,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How long the answer to a publish with an idempotency key is remembered. The default is longer than publishers usually retry.",
  }),
  idempotencyMax: whole({
    variable: "BATON_IDEMPOTENCY_MAX",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    unit: "keys",
    description:
      "How many idempotency keys are remembered at once. Each takes about 0.5 KB, however long it is. Beyond that, the oldest are forgotten before their time; the log then says, at most once a minute, how long keys are remembered.",
  }),
};
