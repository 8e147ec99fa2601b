// A disk of a few megabytes, seen by those processes alone that are run in it: a file system in memory, in a mount namespace
// of its own. Linux; needs no rights beyond those of a user where user namespaces are allowed.
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "../wait";

export class SmallDisk implements AsyncDisposable {
  /** Where it is, for those in it. */
  readonly path: string;
  readonly #holder: Bun.Subprocess;

  private constructor(path: string, holder: Bun.Subprocess) {
    this.path = path;
    this.#holder = holder;
  }

  /** `size` as mount takes it, such as 6m. Rejects with what unshare or mount say. */
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

  /** What runs a program in it. */
  get inside(): string[] {
    const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--preserve-credentials"];
    return ["nsenter", "--target", String(this.#holder.pid), ...asRoot, "--mount", "--"];
  }

  /** Where a file of it is for everybody else. */
  seen(name: string): string {
    return `/proc/${this.#holder.pid}/root${this.path}/${name}`;
  }

  /** Takes all the room that is left. */
  fill(): void {
    for (const size of [65_536, 1]) {
      try {
        for (;;) appendFileSync(this.seen("filler"), Buffer.alloc(size));
      } catch {
        // That was too much.
      }
    }
  }

  /** Gives it back. */
  empty(): void {
    rmSync(this.seen("filler"));
  }

  /** Nothing can be written on it from now on. */
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
