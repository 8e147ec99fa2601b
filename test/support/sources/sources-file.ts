// Files of sources for relays in tests.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Writes such a file and returns its path. */
export function sourcesFile(sources: Readonly<Record<string, object>>): string {
  const path = join(mkdtempSync(join(tmpdir(), "baton-sources-")), "sources.json");
  writeFileSync(path, JSON.stringify(sources));
  return path;
}
