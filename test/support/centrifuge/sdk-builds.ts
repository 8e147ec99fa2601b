// The programs of SDKs in other languages, and how those that are compiled are built.
import { afterAll, beforeAll } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../docs/pages";
import { buildGo, buildJava, buildRust, hasTools } from "../languages/builds";
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
    build: (folder) => buildGo(folder, "centrifuge"),
  },
  "centrifuge-java": {
    tools: ["mvn", "javac"],
    build: (folder) => buildJava(folder, "Clients"),
  },
  "tokio-centrifuge": {
    tools: ["cargo"],
    build: () => buildRust("clients"),
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
  return hasTools(LANGUAGES[name].tools);
}
