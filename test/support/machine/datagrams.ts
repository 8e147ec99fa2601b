// What Bun has not and systemd uses: a socket for datagrams at a path, and the clock that all processes of a machine share.
import { dlopen, ptr } from "bun:ffi";
import { until } from "../wait";

const { symbols: libc } = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
  clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
});

const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 0o2000002;
const MSG_DONTWAIT = 0x40;
const CLOCK_MONOTONIC = 1;
const BYTES_MAX = 4_096;

export class DatagramSocket implements Disposable {
  readonly #descriptor: number;

  /** At this path, or with @ in front at a name in the abstract namespace. */
  constructor(address: string) {
    const path = Buffer.from(`\x01\0${address.replace("@", "\0")}`);
    this.#descriptor = libc.socket(AF_UNIX, SOCK_DGRAM_CLOEXEC, 0);
    if (libc.bind(this.#descriptor, ptr(path), path.length) !== 0) throw new Error(address);
  }

  /** The next datagram, or undefined if there is none now. */
  take(): string | undefined {
    const bytes = Buffer.alloc(BYTES_MAX);
    const count = Number(libc.recv(this.#descriptor, ptr(bytes), BYTES_MAX, MSG_DONTWAIT));
    return count < 0 ? undefined : bytes.toString("utf8", 0, count);
  }

  async next(): Promise<string> {
    let datagram: string | undefined;
    await until("a datagram", () => {
      datagram = this.take();
      return datagram !== undefined;
    });
    return datagram as string;
  }

  [Symbol.dispose](): void {
    libc.close(this.#descriptor);
  }
}

export function monotonicUs(): number {
  const time = new BigInt64Array(2);
  libc.clock_gettime(CLOCK_MONOTONIC, ptr(time));
  return Number(time[0]) * 1e6 + Number(time[1]) / 1e3;
}
