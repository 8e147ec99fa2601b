// What systemd is told about this process, where a unit with Type=notify has started it: that it is ready, reloads, ends, and
// still runs (sd_notify(3), and its protocol of datagrams). The rest of the relay goes on where it cannot be told.
import { dlopen, ptr } from "bun:ffi";

/** How often a service says that it runs, as a part of the time after which systemd kills it. */
const WATCHDOG_PART = 2;

/** What a shutdown may take beyond its delay and its window. */
const END_MARGIN_MS = 15_000;

interface SystemdOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A state could not be sent; the message says why. */
  readonly onFailure: (error: unknown) => void;
}

export class Systemd {
  readonly #options: SystemdOptions;
  #isStopping = false;

  constructor(options: SystemdOptions) {
    this.#options = options;
  }

  /** The service has started. From now on systemd hears that the event loop runs, if it wants to. */
  started(status: string): void {
    this.#send(() => `READY=1\nSTATUS=${status}`);
    const watchdogMs = Number(this.#options.env.WATCHDOG_USEC ?? 0) / 1_000;
    if (watchdogMs > 0)
      setInterval(() => this.#send(() => "WATCHDOG=1"), watchdogMs / WATCHDOG_PART);
  }

  /** The service reads its settings again, until `reloaded` is called. */
  reloading(): void {
    this.#send(() => `RELOADING=1\nMONOTONIC_USEC=${monotonicUs()}`);
  }

  /** With or without success: it is ready as before. */
  reloaded(): void {
    this.#send(() => "READY=1");
  }

  /** The service ends, and takes at most this long, whatever TimeoutStopSec says. */
  stopping(withinMs: number): void {
    const timeoutUs = (withinMs + END_MARGIN_MS) * 1_000;
    this.#send(() => `STOPPING=1\nEXTEND_TIMEOUT_USEC=${timeoutUs}`);
    this.#isStopping = true;
  }

  #send(state: () => string): void {
    const { env, onFailure } = this.#options;
    if (env.NOTIFY_SOCKET === undefined || this.#isStopping) return;
    try {
      sendDatagram(env.NOTIFY_SOCKET, state());
    } catch (error) {
      onFailure(error);
    }
  }
}

/** Of <sys/socket.h> and <time.h> of Linux. */
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const MSG_DONTWAIT_NOSIGNAL = 0x4040;
const CLOCK_MONOTONIC = 1;

/** sun_path of struct sockaddr_un. */
const PATH_BYTES_MAX = 108;

/** The library of glibc, and those of musl. */
const LIBRARIES = [
  "libc.so.6",
  `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`,
];

const FUNCTIONS = {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
} as const;

function loaded() {
  for (const name of LIBRARIES) {
    try {
      return dlopen(name, FUNCTIONS).symbols;
    } catch {}
  }
  throw new Error(`none of ${LIBRARIES.join(", ")} can be loaded`);
}

let library: ReturnType<typeof loaded> | undefined;

/** Throws if it cannot be sent. Bun has no datagrams between processes of a machine. */
function sendDatagram(address: string, text: string): void {
  library ??= loaded();
  const to = addressOf(address);
  const bytes = Buffer.from(text);
  const descriptor = library.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
  if (descriptor < 0) throw new Error("there is no socket for it");
  try {
    const args = [MSG_DONTWAIT_NOSIGNAL, ptr(to), to.length] as const;
    const sent = library.sendto(descriptor, ptr(bytes), bytes.length, ...args);
    if (Number(sent) !== bytes.length) throw new Error(`NOTIFY_SOCKET=${address} takes nothing`);
  } finally {
    library.close(descriptor);
  }
}

/** A struct sockaddr_un. An address in the abstract namespace begins with NUL, which is written as @. */
function addressOf(address: string): Buffer {
  const path = Buffer.from(address);
  if (!/^[@/]/.test(address) || path.length > PATH_BYTES_MAX) {
    throw new Error(`NOTIFY_SOCKET=${address} is neither a path nor @ and a name`);
  }
  if (address.startsWith("@")) path[0] = 0;
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX);
  return Buffer.concat([family, path]);
}

/** CLOCK_MONOTONIC, which systemd compares with; Bun's own clocks count from the start of the process. */
function monotonicUs(): bigint {
  library ??= loaded();
  const time = new BigInt64Array(2);
  library.clock_gettime(CLOCK_MONOTONIC, ptr(time));
  return (time[0] ?? 0n) * 1_000_000n + (time[1] ?? 0n) / 1_000n;
}
