// A file of rules for topics, for a relay of a test.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The path of a new file with these rules by prefix. */
export function topicsFile(rules: Readonly<Record<string, object>>): string {
  const path = join(mkdtempSync(join(tmpdir(), "baton-topics-")), "topics.json");
  writeFileSync(path, JSON.stringify(rules));
  return path;
}
