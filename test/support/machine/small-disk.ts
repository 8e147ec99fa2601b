// A disk of a few megabytes that only the processes see which are run on it: a file system in memory, in a mount namespace of
// its own. Linux only; it needs no more rights than a user has where user namespaces are allowed.
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../wait";

export class SmallDisk implements AsyncDisposable {
  /** The path of the disk, for the processes that are run on it. */
  readonly path: string;
  readonly #holder: Bun.Subprocess;

  private constructor(path: string, holder: Bun.Subprocess) {
    this.path = path;
    this.#holder = holder;
  }

  /** Makes a disk; `size` is in the form that mount takes, such as 6m. Rejects with the error of unshare or mount. */
  static async make(size: string): Promise<SmallDisk> {
    const path = mkdtempSync(join(tmpdir(), "baton-disk-"));
    const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const script = `mount -t tmpfs -o size=${size} tmpfs "$1" && touch "$1/mounted" && exec sleep 3600`;
    const command = ["unshare", ...asRoot, "--mount", "sh", "-c", script, "sh", path];
    const holder = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    const disk = new SmallDisk(path, holder);
    await until("the disk", async () => {
      if (holder.exitCode !== null) throw new Error(await new Response(holder.stderr).text());
      return Bun.file(disk.seen("mounted")).exists();
    });
    return disk;
  }

  /** The command that runs a program on the disk. */
  get inside(): string[] {
    const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--preserve-credentials"];
    return ["nsenter", "--target", String(this.#holder.pid), ...asRoot, "--mount", "--"];
  }

  /** The path of a file on the disk, for all other processes. */
  seen(name: string): string {
    return `/proc/${this.#holder.pid}/root${this.path}/${name}`;
  }

  /** Fills the disk up. */
  fill(): void {
    for (const size of [65_536, 1]) {
      try {
        for (;;) appendFileSync(this.seen("filler"), Buffer.alloc(size));
      } catch {
        // The disk is full for files of this size.
      }
    }
  }

  /** Removes what `fill` has written. */
  empty(): void {
    rmSync(this.seen("filler"));
  }

  /** From now on nothing can be written on it. */
  async makeReadOnly(): Promise<void> {
    const command = [...this.inside, "mount", "-o", "remount,ro", this.path];
    const done = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
    if ((await done.exited) !== 0) throw new Error(await new Response(done.stderr).text());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#holder.kill("SIGKILL");
    await this.#holder.exited;
    rmSync(this.path, { recursive: true, force: true });
  }
}
