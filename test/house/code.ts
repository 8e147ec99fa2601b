// Reads and parses the TypeScript of the repository for the house test, and knows which file imports what from which.
import { join } from "node:path";
import {
  type ImportDeclaration,
  type Node,
  type Program,
  parseSync,
  visitorKeys,
} from "oxc-parser";

/** One thing that a rule found: `key` names it without a line number, `message` says what to do about it. */
export interface Violation {
  readonly key: string;
  readonly message: string;
}

export interface Import {
  /** As written: "./relay" or "elysia". */
  readonly specifier: string;
  /** The imported file from the root of the repository; undefined for a package. */
  readonly target: string | undefined;
  /** The imported names; "*" stands for all of them. */
  readonly names: readonly string[];
  readonly isTypeOnly: boolean;
}

export interface SourceFile {
  /** From the root of the repository, such as "src/main.ts". */
  readonly path: string;
  readonly text: string;
  readonly program: Program;
  readonly imports: readonly Import[];
}

export const ROOT = join(import.meta.dir, "../..");

/** All files of a folder of the repository, as paths from its root; what the tools write is left out. */
export function filesIn(folder: string): string[] {
  return [...new Bun.Glob(`${folder}/**/*`).scanSync(ROOT)]
    .filter((path) => !/node_modules|__pycache__|^bench\/results\//.test(path))
    .sort();
}

/** Every TypeScript file of src, bench, test and docs. */
export async function readCode(): Promise<SourceFile[]> {
  const paths = ["src", "bench", "test", "docs"]
    .flatMap(filesIn)
    .filter((path) => path.endsWith(".ts"));
  const texts = await Promise.all(paths.map((path) => Bun.file(join(ROOT, path)).text()));
  return parseAll(Object.fromEntries(paths.map((path, i) => [path, texts[i] ?? ""])));
}

/** Parses texts by path. Imports are resolved among these paths only. */
export function parseAll(texts: Record<string, string>): SourceFile[] {
  const known = new Set(Object.keys(texts));
  return Object.entries(texts).map(([path, text]) => {
    const { program, errors } = parseSync(path, text);
    if (errors.length > 0) throw new Error(`${path} cannot be parsed: ${errors[0]?.message}`);
    return { path, text, program, imports: importsOf(path, program, known) };
  });
}

/** Calls `visit` for the node and all nodes within it, each with the nodes around it, the nearest last. */
export function walk(
  node: Node,
  visit: (node: Node, parents: readonly Node[]) => void,
  parents: Node[] = [],
): void {
  visit(node, parents);
  parents.push(node);
  for (const key of visitorKeys[node.type] ?? []) {
    const child = (node as unknown as Record<string, Node | (Node | null)[] | null>)[key];
    if (Array.isArray(child)) {
      for (const one of child) if (one !== null) walk(one, visit, parents);
    } else if (child) {
      walk(child, visit, parents);
    }
  }
  parents.pop();
}

/** The line, from 1, on which the character at `offset` stands. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", at + 1)) {
    line++;
  }
  return line;
}

/** The name of an identifier, a #private name or a text; undefined for anything computed. */
export function nameOf(node: Node | null | undefined): string | undefined {
  if (node?.type === "Identifier") return node.name;
  if (node?.type === "PrivateIdentifier") return `#${node.name}`;
  if (node?.type === "Literal" && typeof node.value === "string") return node.value;
  return undefined;
}

function importsOf(path: string, program: Program, known: ReadonlySet<string>): Import[] {
  const found: Import[] = [];
  const add = (source: Node, names: readonly string[], isTypeOnly: boolean) => {
    const specifier = nameOf(source);
    if (specifier === undefined) return;
    found.push({ specifier, target: resolve(path, specifier, known), names, isTypeOnly });
  };
  walk(program, (node) => {
    if (node.type === "ImportDeclaration") {
      add(node.source, importedNames(node), node.importKind === "type");
    } else if (node.type === "ExportNamedDeclaration" && node.source !== null) {
      const names = node.specifiers.map(({ local }) => nameOf(local) ?? "*");
      add(node.source, names, node.exportKind === "type");
    } else if (node.type === "ExportAllDeclaration") {
      add(node.source, ["*"], node.exportKind === "type");
    } else if (node.type === "ImportExpression" || node.type === "TSImportType") {
      add(node.source, ["*"], node.type === "TSImportType");
    }
  });
  return found;
}

function importedNames({ specifiers }: ImportDeclaration): string[] {
  return specifiers.map((specifier) => {
    if (specifier.type === "ImportDefaultSpecifier") return "default";
    if (specifier.type === "ImportNamespaceSpecifier") return "*";
    return nameOf(specifier.imported) ?? "*";
  });
}

function resolve(from: string, specifier: string, known: ReadonlySet<string>): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  const path = join(from, "..", specifier);
  return [path, `${path}.ts`, `${path}/index.ts`].find((one) => known.has(one)) ?? path;
}
