// A temporary folder for one test.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder, which is removed with all its files when the test disposes of it. */
export class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "baton-"));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
