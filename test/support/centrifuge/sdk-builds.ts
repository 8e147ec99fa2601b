// The programs of SDKs in other languages, and how those that are compiled are built.
import { afterAll, beforeAll } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../docs/pages";
import { Folder } from "../machine/folder";
import { pythonCommand } from "../machine/python-program";
import type { SdkClientsOptions } from "./sdk-program";

type Form = NonNullable<SdkClientsOptions["form"]>;

interface Language {
  /** What must be on this machine. */
  readonly tools: readonly string[];
  /** Builds the program in this folder, and returns the command that runs it. */
  build(folder: string): Promise<readonly string[]>;
}

const LANGUAGES = {
  "centrifuge-python": {
    tools: [],
    build: async () => pythonCommand([join(ROOT, "test/python/clients.py")]),
  },
  "centrifuge-go": {
    tools: ["go"],
    async build(folder) {
      const path = `${folder}/go-clients`;
      await run(["go", "build", "-o", path, "./centrifuge"], join(ROOT, "test/go"));
      return [path];
    },
  },
  "centrifuge-java": {
    tools: ["mvn", "javac"],
    async build(folder) {
      const source = join(ROOT, "test/java");
      const libraries = `${folder}/libraries`;
      const copy = ["dependency:copy-dependencies", `-DoutputDirectory=${libraries}`];
      await run(["mvn", "-q", "-B", ...copy], source);
      const classes = `${folder}/classes`;
      await run(["javac", "-cp", `${libraries}/*`, "-d", classes, "Clients.java"], source);
      return ["java", "-cp", `${classes}:${libraries}/*`, "Clients"];
    },
  },
  "tokio-centrifuge": {
    tools: ["cargo"],
    async build(folder) {
      const target = `${folder}/rust`;
      await run(["cargo", "build", "--locked", "--target-dir", target], join(ROOT, "test/rust"));
      return [`${target}/debug/clients`];
    },
  },
} satisfies Record<string, Language>;

export type SdkName = keyof typeof LANGUAGES;

/** The official SDKs in each form that they speak. */
export const SDKS: readonly (readonly [SdkName, Form])[] = [
  ["centrifuge-python", "json"],
  ["centrifuge-python", "protobuf"],
  ["centrifuge-go", "json"],
  ["centrifuge-go", "protobuf"],
  ["centrifuge-java", "protobuf"],
];

/**
 * Builds the programs of these SDKs, by default of all official ones, before the tests of a file, where their languages are on
 * this machine. Returns what gives the command that runs one of them.
 */
export function sdkCommands(
  names: Iterable<SdkName> = new Set(SDKS.map(([name]) => name)),
): (name: SdkName) => readonly string[] {
  const folder = new Folder();
  const commands = new Map<SdkName, readonly string[]>();
  beforeAll(async () => {
    for (const name of names) {
      if (canRun(name)) commands.set(name, await LANGUAGES[name].build(folder.path));
    }
  }, 900_000);
  afterAll(() => folder[Symbol.dispose]());
  return (name) => commands.get(name) as readonly string[];
}

/** Whether this SDK can run here. */
export function canRun(name: SdkName): boolean {
  return LANGUAGES[name].tools.every((tool) => Bun.which(tool) !== null);
}

async function run(command: readonly string[], cwd: string): Promise<void> {
  const child = Bun.spawn([...command], { cwd, stdout: "pipe", stderr: "pipe" });
  const outputs = [child.stdout, child.stderr].map((output) => new Response(output).text());
  const texts = await Promise.all(outputs);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${texts.join("\n")}`);
}
