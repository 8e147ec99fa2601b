// baton/client of the package, in Node 22 and in Bun: it needs nothing else of the package, loses nothing over a network that cuts
// connections, and leaves nothing behind that would keep a program alive. The examples of docs/clients.md compile with its types.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { example, ROOT } from "../../support/docs/pages";
import { Folder } from "../../support/machine/folder";
import { LineProgram } from "../../support/machine/line-program";
import { packInto } from "../../support/machine/npm-package";
import { TcpProxy } from "../../support/machine/tcp-proxy";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

/** The one of .ci/run, whose cache has it. */
const NODE = `node-linux-${process.arch}@22.23.3`;

const PROGRAM = `
import { connect } from "baton/client";
Math.random = () => 0.01; // It does not wait for long.
globalThis.setInterval = () => 0; // Nor does it need its checks where a network says that a connection is lost.
const [, , relay, network] = process.argv;
const address = async () => {
  const body = JSON.stringify({ user_id: 1 });
  const headers = { "content-type": "application/json" };
  const answer = await fetch(relay + "/register", { method: "POST", headers, body });
  return (await answer.json()).url.replace(/\\d+(?=\\/ws)/, network);
};
const print = (kind, ...rest) => console.log(JSON.stringify([kind, ...rest]));
const client = connect(address, { onState: (state, why) => print("state", state, why?.code) });
for (const topic of ["a", "b"]) {
  const onLost = () => print("lost", topic);
  client.on(topic, (data) => print("message", topic, data), { onLost });
}
process.stdin.once("data", () => {
  client.close();
  process.stdin.destroy();
});
`;

let folder: Folder;
let node: string;

beforeAll(async () => {
  folder = new Folder();
  const run = (...command: string[]) => {
    const { exitCode, stderr } = Bun.spawnSync(command, { cwd: folder.path });
    expect(exitCode, stderr.toString()).toBe(0);
  };
  await Bun.write(join(folder.path, "package.json"), '{"private": true, "type": "module"}');
  await Bun.write(join(folder.path, "bin/bun"), `#!/bin/sh\nexec "${process.execPath}" "$@"\n`);
  run("chmod", "+x", "bin/bun");
  const path = `${join(folder.path, "bin")}:${process.env.PATH}`;
  const file = packInto(folder.path, { ...process.env, PATH: path });
  run("npm", "install", "--no-audit", "--no-fund", "--prefer-offline", NODE);
  run("mkdir", "-p", "node_modules/baton");
  run("tar", "xzf", file, "-C", "node_modules/baton", "--strip-components=1");
  node = join(folder.path, "node_modules", NODE.replace(/@.*/, ""), "bin/node");
  await Bun.write(join(folder.path, "program.js"), PROGRAM);
});
afterAll(() => folder[Symbol.dispose]());

test.each(["Node 22", "Bun"])(
  "in %s, messages come once and in order over a network that cuts and refuses connections, and close() ends the program",
  async (runtime) => {
    await using relay = await RelayProcess.start({ BATON_HISTORY_SIZE: "1000" });
    await using network = await TcpProxy.start(relay.url);
    const runner = runtime === "Bun" ? process.execPath : node;
    const { port } = new URL(network.through(relay.url));
    const received: Record<string, unknown[]> = { a: [], b: [] };
    const lost: string[] = [];
    const states: unknown[][] = [];
    await using program = new LineProgram(
      [runner, join(folder.path, "program.js"), relay.url, port],
      (text) => {
        const [kind, ...rest] = JSON.parse(text);
        if (kind === "message") received[rest[0]]?.push(rest[1]);
        else if (kind === "lost") lost.push(rest[0]);
        else states.push(rest);
      },
    );
    await program.until("it is open", () => states.length > 0);
    network.cutEach(20, 300);
    for (let data = 0; data < 150; data++) {
      for (const topic of ["a", "b"]) await relay.post("/publish", { topic, data });
      const cuts = network.cuts;
      // So that some of them are published while it is away.
      if (data % 15 === 0) await until("a cut", () => network.cuts > cuts);
    }
    network.keepAll();
    const { port: relayPort } = network;
    network.port = 1; // where nobody listens
    network.cutAll();
    const ends = () => states.filter(([state]) => state === "connecting").length;
    const before = ends();
    await program.until("attempts in vain", () => ends() >= before + 5);
    network.port = relayPort;
    const all = Array.from({ length: 150 }, (_, i) => i);
    const haveAll = () => Object.values(received).every((data) => data.length >= all.length);
    await program.until("it has all", haveAll).catch(() => {});
    expect([received, lost], `seed ${network.seed}`).toEqual([{ a: all, b: all }, []]);
    expect(ends()).toBeGreaterThan(5);
    program.write("end");
    await until("it to end", () => program.exitCode === 0);
    expect(states.at(-1)).toEqual(["closed", null]);
  },
);

test("the examples of docs/clients.md compile, and wrong topics and wrong uses of data do not", async () => {
  const given = `
    declare const show: (data: unknown) => void, showState: (state: string, why?: string) => void;
    declare const reload: () => void, relayAddress: () => Promise<string>;`;
  const typed = example("docs/clients.md", "typed-client.ts");
  const wrong = ['relay.on("order", () => {});', 'relay.on("orders", ({ id }) => id.length);'];
  const files: Record<string, string> = {
    "topics.ts": `
      export const TOPICS = { schemas: { orders: { params: [], static: { id: 1 } } } };`,
    "library.ts": `${example("docs/clients.md", "library-client.ts")}${given} leave();`,
    "typed.ts": `${given}\n${typed}`,
    "wrong.ts": `${[`${given}${typed}`, ...wrong].join("\n")}`,
  };
  for (const [name, text] of Object.entries(files)) {
    await Bun.write(join(folder.path, "docs", name), text.replace('"./topics"', '"./topics.js"'));
  }
  const compile = (name: string) => {
    const options = ["--ignoreConfig", "--noEmit", "--strict", "--lib", "esnext,dom"];
    const language = ["--module", "nodenext", "--moduleDetection", "force", "--types", ""];
    const tsc = join(ROOT, "node_modules/.bin/tsc");
    const command = [process.execPath, tsc, ...options, ...language, `docs/${name}`];
    return Bun.spawnSync(command, { cwd: folder.path }).stdout.toString();
  };
  expect(compile("library.ts")).toBe("");
  expect(compile("typed.ts")).toBe("");
  const found = compile("wrong.ts").match(/^docs\/wrong\.ts\(\d+,\d+\): error TS\d+/gm) ?? [];
  const last = files["wrong.ts"]?.split("\n").length ?? 0;
  expect(found.map((one) => Number(/\d+/.exec(one)?.[0]))).toEqual([last - 1, last]);
});
