// Backends with the Pusher libraries for other languages, in programs of their own that make the same calls.
import { afterAll, beforeAll } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../docs/pages";
import { Folder } from "../machine/folder";
import { pythonCommand } from "../machine/python-program";
import { APP } from "./backend";
import type { SignedWebhook } from "./webhook-receiver";

/**
 * No registry has the library for PHP. Where this variable names its folder, and Debian's php-cli, php-curl, php-guzzlehttp-guzzle
 * and php-psr-log are installed, it is tested too.
 */
const PHP_LIBRARY = process.env.PUSHER_PHP_LIBRARY;

interface Language {
  readonly tools: readonly string[];
  build(folder: string): Promise<(args: readonly string[]) => readonly string[]>;
}

const LANGUAGES: Readonly<Record<string, Language>> = {
  Python: {
    tools: [],
    build: async () => (args) =>
      pythonCommand([join(ROOT, "test/python/pusher_backend.py"), ...args]),
  },
  Go: {
    tools: ["go"],
    async build(folder) {
      const path = `${folder}/pusher-backend`;
      await run(["go", "build", "-o", path, "./pusher"], join(ROOT, "test/go"));
      return (args) => [path, ...args];
    },
  },
  Java: {
    tools: ["mvn", "javac"],
    async build(folder) {
      const source = join(ROOT, "test/java");
      const [libraries, classes] = [`${folder}/libraries`, `${folder}/classes`];
      const copy = ["dependency:copy-dependencies", `-DoutputDirectory=${libraries}`];
      await run(["mvn", "-q", "-B", ...copy], source);
      await run(["javac", "-cp", `${libraries}/*`, "-d", classes, "Backend.java"], source);
      return (args) => ["java", "-cp", `${classes}:${libraries}/*`, "Backend", ...args];
    },
  },
  Rust: {
    tools: ["cargo"],
    async build(folder) {
      const target = `${folder}/rust`;
      const source = join(ROOT, "test/rust/pusher");
      await run(["cargo", "build", "--locked", "--target-dir", target], source);
      return (args) => [`${target}/debug/pusher-backend`, ...args];
    },
  },
  PHP: {
    tools: PHP_LIBRARY === undefined ? ["the library for PHP"] : ["php"],
    build: async () => (args) => [
      "php",
      join(ROOT, "test/php/backend.php"),
      ...args,
      PHP_LIBRARY ?? "",
    ],
  },
};

export const LANGUAGE_NAMES: readonly string[] = Object.keys(LANGUAGES);

/** Whether the program in this language can run here. */
export function canRun(name: string): boolean {
  return LANGUAGES[name]?.tools.every((tool) => Bun.which(tool) !== null) === true;
}

/** Builds the programs before the tests of a file. Returns what runs one of them against a relay, with a webhook of it, and gives the outcome of each call. */
export function backendPrograms(): (
  name: string,
  url: string,
  webhook: SignedWebhook,
) => Promise<Record<string, unknown>> {
  const folder = new Folder();
  const commands = new Map<string, Awaited<ReturnType<Language["build"]>>>();
  beforeAll(async () => {
    for (const [name, language] of Object.entries(LANGUAGES)) {
      if (canRun(name)) commands.set(name, await language.build(folder.path));
    }
  }, 900_000);
  afterAll(() => folder[Symbol.dispose]());
  return async (name, url, { signature, body }) => {
    const { hostname, port } = new URL(url);
    const command = commands.get(name)?.([hostname, port, APP.id, APP.key, APP.secret]);
    const lines = (
      await run(command ?? [], ROOT, { WEBHOOK_SIGNATURE: signature, WEBHOOK_BODY: body })
    )
      .trim()
      .split("\n");
    return Object.fromEntries(lines.map((line) => JSON.parse(line)));
  };
}

/** Resolves with what the command prints. */
async function run(
  command: readonly string[],
  cwd: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<string> {
  const env = { ...process.env, ...variables };
  const child = Bun.spawn([...command], { cwd, env, stdout: "pipe", stderr: "pipe" });
  const outputs = [child.stdout, child.stderr].map((output) => new Response(output).text());
  const [printed = "", errors = ""] = await Promise.all(outputs);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")}: ${printed}\n${errors}`);
  return printed;
}
