// The rules about code that nobody uses: exports that nobody imports, and public members of classes that nobody reads.
import type { Node } from "oxc-parser";
import { lineAt, nameOf, type SourceFile, type Violation, walk } from "./code";

/** What src exports for the tests alone: "file: name" with the reason why a test cannot do without. */
const FOR_TESTS: Record<string, string> = {
  "src/engines/index.ts: ENGINES": "the contract of engines is tested with each of them",
  "src/settings/definitions.ts: SETTINGS": "the documentation is compared with it",
  "src/workers/pipe.ts: PipeOptions": "a test builds two ends with options of its own",
  "src/workers/pipe.ts: UNACKNOWLEDGED_MAX": "a test fills a pipe up to its bound",
};

/** Public members that something outside this repository calls: "file: Class.member" with the reason. */
const FOR_OTHERS: Record<string, string> = {};

/** Which files count as users of a file: src must not export for the tests. */
function usersOf(path: string): RegExp {
  if (path.startsWith("src/")) return /^(src|bench|docs)\//;
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

/** Public members of classes of src whose name nothing in src or bench reads. */
export function unusedMembers(files: readonly SourceFile[]): Violation[] {
  const production = files.filter(({ path }) => !path.startsWith("test/"));
  const read = new Set<string>();
  for (const { program } of production) {
    walk(program, (node, parents) => {
      const name = nameThatIsRead(node, parents);
      if (name !== undefined) read.add(name);
    });
  }
  const found: Violation[] = [];
  for (const { path, text, program } of production) {
    if (!path.startsWith("src/")) continue;
    walk(program, (node, parents) => {
      if (node.type !== "MethodDefinition" && node.type !== "PropertyDefinition") return;
      const name = nameOf(node.key);
      if (name === undefined || name.startsWith("#") || name === "constructor" || read.has(name)) {
        return;
      }
      const owner = parents.at(-2);
      const key = `${path}: ${owner && "id" in owner ? nameOf(owner.id as Node) : "a class"}.${name}`;
      if (FOR_OTHERS[key] !== undefined) return;
      found.push({
        key,
        message: `${path}:${lineAt(text, node.start)} nothing in src or bench reads "${name}". Delete it; a test asks for what users see.`,
      });
    });
  }
  return found;
}

/** `name` in x.name and in const { name } = x; writing it is not reading it. */
function nameThatIsRead(node: Node, parents: readonly Node[]): string | undefined {
  if (node.type === "MemberExpression") {
    const parent = parents.at(-1);
    const isWritten =
      parent?.type === "AssignmentExpression" && parent.left === node && parent.operator === "=";
    return isWritten ? undefined : nameOf(node.property);
  }
  if (node.type === "Property" && parents.at(-1)?.type === "ObjectPattern") return nameOf(node.key);
  return undefined;
}
