// The rule about exports: what no other file imports is not exported, and src exports nothing for the tests alone.
import type { Node } from "oxc-parser";
import { lineAt, nameOf, type SourceFile, type Violation } from "./code";

/** What src exports though nothing there imports it: "file: name" with the reason why a test or a tool cannot do without. */
const FOR_TESTS: Record<string, string> = {
  "src/edge/pusher/signatures.ts: sign": "a test signs what no library would",
  "src/settings/api-keys.ts: ApiKey": "the declarations of the package are made of named types",
  "src/settings/pusher.ts: PusherApp": "the same",
  "src/engines/redis/server/keys.ts: EPOCH_TAKEN_BITS": "a test takes two topics that share a bit",
  "src/engines/index.ts: ENGINES": "the contract of engines is tested with each of them",
  "src/protocols/index.ts: PROTOCOLS": "the contract of protocols is tested with each of them",
  "src/log.ts: LogOutput": "a test is a reader of the log that is behind",
  "src/workers/pipe.ts: PipeOptions": "a test builds two ends with options of its own",
  "src/workers/pipe.ts: UNACKNOWLEDGED_MAX": "a test fills a pipe up to its bound",
};

/** What other packages import. */
const ENTRIES = new Set(["src/library/index.ts", "src/client/client.ts"]);

/** Which files count as users of a file: src must not export for the tests. */
function usersOf(path: string): RegExp {
  if (path.startsWith("src/")) return /^(src|bench|docs)\//;
  if (path.startsWith("docs/")) return /^(docs|test)\//;
  return path.startsWith("bench/") ? /^bench\// : /^test\//;
}

/** Exported names that no other file imports. */
export function unusedExports(files: readonly SourceFile[]): Violation[] {
  const importers = new Map<string, { path: string; names: readonly string[] }[]>();
  for (const { path, imports } of files) {
    for (const { target, names } of imports) {
      if (target === undefined) continue;
      const known = importers.get(target) ?? [];
      known.push({ path, names });
      importers.set(target, known);
    }
  }
  return files.flatMap(({ path, text, program }) => {
    if (ENTRIES.has(path)) return [];
    const users = (importers.get(path) ?? []).filter((user) => usersOf(path).test(user.path));
    const used = new Set(users.flatMap(({ names }) => names));
    if (used.has("*")) return [];
    return exportsOf(program)
      .filter(({ name }) => !used.has(name) && FOR_TESTS[`${path}: ${name}`] === undefined)
      .map(({ name, node }) => ({
        key: `${path}: ${name}`,
        message: `${path}:${lineAt(text, node.start)} exports ${name}, which no other file${path.startsWith("src/") ? " of src, bench or docs" : ""} imports. Drop the word "export", or the code that nobody uses.`,
      }));
  });
}

function exportsOf(program: Node): { name: string; node: Node }[] {
  const found: { name: string; node: Node }[] = [];
  const add = (node: Node | null) => {
    const name = nameOf(node);
    if (name !== undefined && node) found.push({ name, node });
  };
  for (const node of program.type === "Program" ? program.body : []) {
    if (node.type === "ExportDefaultDeclaration") found.push({ name: "default", node });
    if (node.type !== "ExportNamedDeclaration") continue;
    for (const { exported } of node.specifiers) add(exported);
    const { declaration } = node;
    if (declaration?.type === "VariableDeclaration") {
      for (const { id } of declaration.declarations) add(id);
    } else if (declaration !== null && "id" in declaration) {
      add(declaration.id as Node | null);
    }
  }
  return found;
}
