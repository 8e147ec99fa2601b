// Backends with the Pusher libraries for other languages, in programs of their own that make the same calls.
import { afterAll, beforeAll } from "bun:test";
import { join } from "node:path";
import { ROOT } from "../docs/pages";
import { buildGo, buildJava, buildRust, hasTools, outputOf } from "../languages/builds";
import { Folder } from "../machine/folder";
import { pythonCommand } from "../machine/python-program";
import { APP } from "./app";

import type { SignedWebhook } from "./webhook-receiver";

/**
 * No registry has the library for PHP. Where this variable names its folder, and Debian's php-cli, php-curl, php-guzzlehttp-guzzle
 * and php-psr-log are installed, it is tested too.
 */
const PHP_LIBRARY = process.env.PUSHER_PHP_LIBRARY;

interface Language {
  readonly tools: readonly string[];
  /** Builds the program in this folder, and returns the command that runs it. */
  build(folder: string): Promise<readonly string[]>;
}

const LANGUAGES: Readonly<Record<string, Language>> = {
  Python: {
    tools: [],
    build: async () => pythonCommand([join(ROOT, "test/python/pusher_backend.py")]),
  },
  Go: {
    tools: ["go"],
    build: (folder) => buildGo(folder, "pusher"),
  },
  Java: {
    tools: ["mvn", "javac"],
    build: (folder) => buildJava(folder, "Backend"),
  },
  Rust: {
    tools: ["cargo"],
    build: () => buildRust("pusher-backend"),
  },
  PHP: {
    tools: PHP_LIBRARY === undefined ? ["the library for PHP"] : ["php"],
    build: async () => ["php", join(ROOT, "test/php/backend.php")],
  },
};

export const LANGUAGE_NAMES: readonly string[] = Object.keys(LANGUAGES);

/** Whether the program in this language can run here. */
export function canRun(name: string): boolean {
  return hasTools(LANGUAGES[name]?.tools ?? [name]);
}

/**
 * Builds the programs before the tests of a file. Returns what runs one of them against a relay, with a webhook of it and the socket of a
 * client, and gives the outcome of each call.
 */
export function backendPrograms(): (
  name: string,
  url: string,
  webhook: SignedWebhook,
  socketId: string,
) => Promise<Record<string, unknown>> {
  const folder = new Folder();
  const commands = new Map<string, readonly string[]>();
  beforeAll(async () => {
    for (const [name, language] of Object.entries(LANGUAGES)) {
      if (canRun(name)) commands.set(name, await language.build(folder.path));
    }
  }, 900_000);
  afterAll(() => folder[Symbol.dispose]());
  return async (name, url, { signature, body }, socketId) => {
    const { hostname, port } = new URL(url);
    const command = [...(commands.get(name) ?? []), hostname, port, APP.id, APP.key, APP.secret];
    const lines = await outputOf(command, ROOT, {
      WEBHOOK_SIGNATURE: signature,
      WEBHOOK_BODY: body,
      SOCKET_ID: socketId,
    });
    const outcomes = lines.split("\n");
    return Object.fromEntries(outcomes.map((line) => JSON.parse(line)));
  };
}
