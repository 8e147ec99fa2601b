// The rules about folders: who may import whom, which packages a folder may use, no circles, and how full a folder may be.
import { dirname } from "node:path";
import type { Import, SourceFile, Violation } from "./code";

const FILES_MAX = 12;

/** Beside folders, src has these files only. */
const TOP_FILES = [
  "src/baton.sh",
  "src/baton.ts",
  "src/log.ts",
  "src/main.ts",
  "src/node.ts",
  "src/shape.ts",
  "src/redis-refusal.ts",
  "src/version.ts",
];

/**
 * The floors of a folder, from the top down. Whatever is on a floor may import only from the floors below it. Folders
 * on one floor do not import each other; files on one floor may. `*` stands for all files that are not named.
 */
const FLOORS: Record<string, readonly string[]> = {
  bench: ["*", "scale", "report", "scenarios", "run", "load", "measure targets"],
  "bench/targets": ["servers", "*"],
  "src/edge": [
    "server.ts shutdown.ts webhooks.ts",
    "routes",
    "centrifugo-api operator pages pusher",
    "push",
    "http transports hooks",
    "access listeners",
  ],
  src: [
    "baton.ts",
    "cli main.ts library",
    "workers",
    "node.ts",
    "node",
    "edge protocols engines settings metrics",
    "sources",
    "log.ts",
    "relay version.ts shape.ts redis-refusal.ts console client",
  ],
  "src/edge/access": ["*", "limits"],
  "src/edge/push": ["*", "services", "devices"],
  "src/cli": ["index.ts", "bench keys sources", "*"],
  "src/console": ["app.ts", "views", "clients", "*"],
  "src/engines": ["index.ts", "redis sqlite", "memory", "*"],
  "src/engines/redis": ["engine.ts", "*", "publishing", "following groups store", "server"],
  "src/library": ["*", "host"],
  "src/protocols": ["index.ts", "centrifuge pusher", "*"],
  "src/settings": ["*", "push files hooks", "kinds.ts"],
  "src/sources": [
    "sources.ts",
    "*",
    "index.ts",
    "postgresql redis kafka nats rabbitmq",
    "shapes",
    "arrivals.ts contract.ts silence.ts tls.ts",
  ],
  "src/workers": ["*", "system"],
  "src/relay/state": ["*", "fan-out"],
  "src/relay/contracts": ["options.ts", "backend", "*"],
  "src/relay": [
    "relay.ts",
    "backend.ts directory.ts explanations",
    "sessions",
    "publishing",
    "recovery",
    "topics connecting",
    "attendance",
    "state",
    "journal",
    "text",
    "contracts",
  ],
};

/** Imports that the floors forbid and that are allowed nevertheless. */
const EXCEPTIONS: readonly ((from: string, to: Import) => boolean)[] = [
  // The edge is handed its settings, so it may know their type.
  (from, { target, isTypeOnly }) =>
    from.startsWith("src/edge/") && target === "src/settings/definitions.ts" && isTypeOnly,
  // It is the same declaration, and no byte of it is in the client.
  (from, { target, isTypeOnly }) =>
    from === "src/client/client.ts" && target === "src/library/topics.ts" && isTypeOnly,
  (from, { target }) => from === "src/version.ts" && target === "package.json",
];

/** The packages that each folder of src may import; "src" stands for the files at its top. */
const PACKAGES: Record<string, RegExp> = {
  src: /^(bun$|node:|pino|@sinclair\/typebox)/,
  "src/console": /^uplot/,
  "src/edge":
    /^(bun|bun:ffi|node:buffer|node:crypto|elysia|@elysiajs\/.*|@sinclair\/typebox.*|jose|swagger-ui-dist\/.*|web-push)$/,
  "src/cli": /^(node:fs|commander|jose)$/,
  "src/engines": /^bun(:sqlite)?$/,
  "src/library": /^(bun|node:crypto|elysia.*|@sinclair\/typebox.*)$/,
  "src/metrics": /^(bun|prom-client)$/,
  "src/protocols": /^@sinclair\/typebox/,
  "src/relay": /^$/,
  "src/settings": /^(node:|@sinclair\/typebox)/,
  "src/sources":
    /^(bun|node:crypto|@sinclair\/typebox.*|@platformatic\/kafka|amqplib|@nats-io\/(transport-node|jetstream))$/,
  "src/workers": /^(node:|bun)/,
};

/** Imports that do not point downwards, and entries that have no floor. */
export function importsNotDownwards(files: readonly SourceFile[]): Violation[] {
  const found: Violation[] = [];
  for (const { path, imports } of files) {
    if (!/^(src|bench)\//.test(path)) continue;
    for (const one of imports) {
      if (one.target === undefined || EXCEPTIONS.some((allows) => allows(path, one))) continue;
      const problem = problemOfImport(path, one.target);
      if (problem !== undefined) {
        found.push({ key: `${path} > ${one.target}`, message: problem });
      }
    }
  }
  return found;
}

function problemOfImport(from: string, to: string): string | undefined {
  const what = `${from} imports ${to}`;
  if (from.startsWith("bench/") && to.startsWith("src/")) return undefined;
  if (!to.startsWith(`${from.split("/")[0]}/`)) return `${what}, which is outside of its reach.`;
  const folder = commonFolder(from, to);
  const floors = FLOORS[folder];
  const [upper, lower] = [childOf(folder, from), childOf(folder, to)];
  if (floors === undefined) {
    if (upper.endsWith(".ts") && lower.endsWith(".ts")) return undefined;
    return `${what}, but ${folder}/ has a folder and no floors. Give it floors in test/house/folders.ts.`;
  }
  const [above, below] = [floorOf(floors, upper), floorOf(floors, lower)];
  if (above === -1 || below === -1) {
    const name = above === -1 ? upper : lower;
    return `${folder}/${name} has no floor. Say in FLOORS of test/house/folders.ts where it belongs, or move it into a folder.`;
  }
  if (above < below || (above === below && upper.endsWith(".ts") && lower.endsWith(".ts"))) {
    return undefined;
  }
  const where = above === below ? "which is on the same floor" : "which is on a higher floor";
  return `${what}: ${folder}/${upper} imports ${folder}/${lower}, ${where}. Imports point downwards only: move what is shared to a lower floor, or hand it over from above.`;
}

function commonFolder(one: string, other: string): string {
  let folder = dirname(one);
  while (!other.startsWith(`${folder}/`)) folder = dirname(folder);
  return folder;
}

const childOf = (folder: string, path: string): string =>
  path.slice(folder.length + 1).split("/")[0] ?? "";

function floorOf(floors: readonly string[], child: string): number {
  const named = floors.findIndex((floor) => floor.split(" ").includes(child));
  return named === -1 && child.endsWith(".ts") ? floors.indexOf("*") : named;
}

/** Packages that a folder of src must not import. */
export function packagesOutOfPlace(files: readonly SourceFile[]): Violation[] {
  const found: Violation[] = [];
  for (const { path, imports } of files) {
    if (!path.startsWith("src/")) continue;
    const folder = path.split("/").length === 2 ? "src" : path.split("/", 2).join("/");
    for (const { specifier, target } of imports) {
      if (target !== undefined || PACKAGES[folder]?.test(specifier)) continue;
      found.push({
        key: `${path} > ${specifier}`,
        message: `${path} imports the package ${specifier}, which ${folder}/ must not use (PACKAGES in test/house/folders.ts). Use it where it is allowed and hand over the result.`,
      });
    }
  }
  return found;
}

/** Groups of files that import each other in a circle; an import of a type counts too. */
export function circles(files: readonly SourceFile[]): Violation[] {
  const imports = new Map<string, Set<string>>(files.map(({ path }) => [path, new Set<string>()]));
  for (const file of files) {
    for (const { target } of file.imports) {
      if (target !== undefined && imports.has(target)) imports.get(file.path)?.add(target);
    }
  }
  return componentsOf(imports).map((paths) => ({
    key: paths.join(" "),
    message: `These files import each other in a circle: ${paths.join(", ")}. Move what they share (often a type) into a file that imports none of them.`,
  }));
}

/** Tarjan's strongly connected components, those with more than one node. */
function componentsOf(graph: ReadonlyMap<string, ReadonlySet<string>>): string[][] {
  const index = new Map<string, number>();
  const lowest = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const enter = (node: string): void => {
    const own = index.size;
    index.set(node, own);
    lowest.set(node, own);
    stack.push(node);
    for (const next of graph.get(node) ?? []) {
      if (!index.has(next)) enter(next);
      if (stack.includes(next)) {
        lowest.set(node, Math.min(lowest.get(node) ?? own, lowest.get(next) ?? own));
      }
    }
    if (lowest.get(node) !== own) return;
    const component = stack.splice(stack.indexOf(node));
    if (component.length > 1) found.push(component.sort());
  };
  for (const node of graph.keys()) if (!index.has(node)) enter(node);
  return found;
}

/** Folders with too many files, and files at the top of src that belong into a folder. */
export function crowdedFolders(paths: readonly string[]): Violation[] {
  const found: Violation[] = [];
  for (const [folder, files] of Object.entries(Object.groupBy(paths, dirname))) {
    const count = files?.length ?? 0;
    if (count <= FILES_MAX) continue;
    found.push({
      key: folder,
      message: `${folder}/ has ${count} files; at most ${FILES_MAX} are allowed. Make a folder of those that a reader looks for together.`,
    });
  }
  for (const path of paths) {
    if (dirname(path) !== "src" || TOP_FILES.includes(path)) continue;
    found.push({
      key: path,
      message: `${path} is at the top of src, where only ${TOP_FILES.join(", ")} belong. Move it into a folder.`,
    });
  }
  return found;
}
