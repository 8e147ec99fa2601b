// Clients of the Pusher libraries as they are, each in a program or a page of its own. All take the same calls, and say the same of
// what happens to them.
import { afterAll, beforeAll } from "bun:test";
import { createHmac } from "node:crypto";
import { join } from "node:path";
import type { Browser } from "playwright-core";
import { openChromium } from "../browser/chromium";
import { ROOT } from "../docs/pages";
import { buildJava, hasTools } from "../languages/builds";
import { Folder } from "../machine/folder";
import { LineProgram } from "../machine/line-program";
import { pythonCommand } from "../machine/python-program";
import { until } from "../wait";
import { APP } from "./app";

type LibraryEvent = readonly [name: string, ...values: unknown[]];

interface Caller {
  write(line: string): void;
  /** Rejects at once when the program has ended. */
  until: typeof until;
  end(): Promise<void>;
}

class PusherLibraryClient implements AsyncDisposable {
  readonly events: LibraryEvent[] = [];
  caller: Caller | undefined;
  #taken = 0;

  call(line: string): void {
    this.caller?.write(line);
  }

  /** How many events there are that begin like this. */
  count(...begin: readonly unknown[]): number {
    return this.#matching(begin).length;
  }

  /** Resolves with the first event that begins like this, of those that came since the last call of `forget`. */
  async seen(...begin: readonly unknown[]): Promise<LibraryEvent> {
    const isSeen = () => this.#matching(begin).length > 0;
    const wait = this.caller?.until ?? until;
    await wait(`${JSON.stringify(begin)}`, isSeen).catch((error: Error) => {
      throw new Error(`${error.message}; there were ${JSON.stringify(this.events.slice(-30))}`);
    });
    return this.#matching(begin)[0] as LibraryEvent;
  }

  forget(): void {
    this.#taken = this.events.length;
  }

  async subscribed(channel: string): Promise<void> {
    this.call(`subscribe ${channel}`);
    await this.seen("subscribed", channel);
  }

  #matching(begin: readonly unknown[]): readonly LibraryEvent[] {
    const recent = this.events.slice(this.#taken);
    return recent.filter((event) =>
      begin.every((value, i) => JSON.stringify(value) === JSON.stringify(event[i])),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.caller?.end();
  }
}

type Command = (args: readonly string[]) => readonly string[];

type Start = (url: string, key?: string, user?: string) => Promise<PusherLibraryClient>;

const IN_A_PAGE = "pusher-js in Chromium";

export const CLIENT_LIBRARIES = [
  "pusher-js in Node",
  "pusher-js under Bun",
  IN_A_PAGE,
  "laravel-echo",
  "pysher",
  "pusher-java-client",
] as const;

type LibraryName = (typeof CLIENT_LIBRARIES)[number];

/** Whether the tools of a library are on this machine. */
export function canRunClient(name: LibraryName): boolean {
  return name !== "pusher-java-client" || hasTools(["mvn", "javac"]);
}

/** Builds what has to be built before the tests of a file. Returns how a client of a library starts. */
export function pusherLibraries(): (name: LibraryName) => Start {
  const folder = new Folder();
  let browser: Browser;
  let java: readonly string[] = [];
  beforeAll(async () => {
    browser = await openChromium();
    if (canRunClient("pusher-java-client")) java = await buildJava(folder.path, "PusherClients");
  }, 900_000);
  afterAll(async () => {
    await browser.close();
    folder[Symbol.dispose]();
  });
  const javaScript = join(import.meta.dir, "pusher-js-program.mjs");
  const commands: Record<Exclude<LibraryName, typeof IN_A_PAGE>, Command> = {
    "pusher-js in Node": (args) => ["node", javaScript, ...args, "pusher-js"],
    "pusher-js under Bun": (args) => ["bun", javaScript, ...args, "pusher-js"],
    "laravel-echo": (args) => ["node", javaScript, ...args, "laravel-echo"],
    pysher: (args) => pythonCommand([join(ROOT, "test/python/pusher_client.py"), ...args]),
    "pusher-java-client": (args) => [...java, ...args],
  };
  return (name) =>
    name === IN_A_PAGE
      ? (url, key, user) => openPage(browser, url, key, user)
      : (url, key, user) => startProgram(commands[name], url, key, user);
}

async function startProgram(
  command: Command,
  url: string,
  key = APP.key,
  user = "a",
): Promise<PusherLibraryClient> {
  const { hostname, port } = new URL(url);
  const client = new PusherLibraryClient();
  const program = new LineProgram(command([hostname, port, key, APP.secret, user]), (line) =>
    client.events.push(JSON.parse(line)),
  );
  client.caller = {
    write: (line) => program.write(line),
    until: (what, isMet) => program.until(what, isMet),
    end: () => program[Symbol.asyncDispose](),
  };
  return client;
}

async function openPage(
  browser: Browser,
  url: string,
  key = APP.key,
  user = "a",
): Promise<PusherLibraryClient> {
  const client = new PusherLibraryClient();
  const page = await browser.newPage();
  await page.exposeFunction("sign", (text: string) =>
    createHmac("sha256", APP.secret).update(text).digest("hex"),
  );
  await page.exposeFunction("emit", (...values: unknown[]) =>
    client.events.push(values as unknown as LibraryEvent),
  );
  await page.goto(`${url}/health`);
  await page.addScriptTag({ path: join(ROOT, "node_modules/pusher-js/dist/web/pusher.min.js") });
  await page.addScriptTag({ path: join(import.meta.dir, "pusher-js-client.js") });
  const options = JSON.stringify({ port: Number(new URL(url).port), key, user });
  await page.evaluate(`carryOut = startPusherClient(Pusher, ${options}, sign, emit); undefined`);
  client.caller = {
    write: (line) => void page.evaluate(`carryOut(${JSON.stringify(line)})`),
    until,
    end: () => page.close(),
  };
  return client;
}
