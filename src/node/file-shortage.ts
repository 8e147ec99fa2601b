// Says when the process has no file left to open: the system then leaves new connections waiting, and the relay hears nothing of them.
import type { Log } from "../log";
import { openFiles } from "../settings/files/open-files";

/** The shortest time between two lines. */
const PAUSE_MS = 60_000;

export class FileShortage {
  readonly #descriptors: number;
  readonly #log: Log;
  #next = 0;

  constructor(descriptors: number, log: Log) {
    this.#descriptors = descriptors;
    this.#log = log;
  }

  /** To be called about once a second. */
  check(): void {
    if (openFiles() !== Number.POSITIVE_INFINITY || performance.now() < this.#next) return;
    this.#next = performance.now() + PAUSE_MS;
    this.#log.warn(
      `no file is left to open (${this.#descriptors} are allowed), so new connections wait: raise the limit (ulimit -n, LimitNOFILE), or look who keeps so many idle ones`,
    );
  }
}
