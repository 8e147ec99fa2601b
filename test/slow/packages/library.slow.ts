// An app that is not of this repository installs Baton's package, embeds a relay and connects to it. It has an Elysia of another
// version than Baton, and a TypeScript of its own, whose checks are as strict as can be.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { devDependencies } from "../../../package.json";
import { Folder } from "../../support/machine/folder";
import { packInto } from "../../support/machine/npm-package";

const APP = `
import { treaty } from "@elysiajs/eden";
import { baton, RelayError, topics } from "baton";
import { connect } from "baton/client";
import { Elysia, t } from "elysia";

const TOPICS = topics({
  orders: t.Object({ id: t.Integer() }),
  "chat:*": t.Object({ text: t.String() }),
});
const relay = baton({ topics: TOPICS, insecure: true });
const app = new Elysia()
  .use(relay)
  .get("/address", async ({ request }) => (await relay.register({ user: 1, request })).url)
  .post("/orders/:id", ({ params }) => relay.publish("orders", { id: Number(params.id) }))
  .ws("/own", { message: (_, text) => \`own \${text}\` })
  .listen({ port: 0, hostname: "127.0.0.1" });
const url = \`http://127.0.0.1:\${app.server?.port}\`;

const client = connect<typeof TOPICS>(async () => (await fetch(\`\${url}/address\`)).text());
const received = new Promise<number>((resolve) => client.on("orders", ({ id }) => resolve(id)));
const api = treaty<typeof app>(url);
while ((await api.orders({ id: 7 }).post()).data?.delivered !== 1) await Bun.sleep(5);
console.log("received", await received);
const own = new WebSocket(\`\${url.replace("http", "ws")}/own\`);
const answer = new Promise((resolve) => own.addEventListener("message", ({ data }) => resolve(data)));
own.addEventListener("open", () => own.send("hi"));
console.log("answered", await answer);
const wrong = "7" as unknown as number;
const { error } = await api.publish.post({ topic: "orders", data: { id: wrong } });
console.log(error?.status, await relay.publish("orders", { id: wrong }).catch((thrown) =>
  thrown instanceof RelayError ? thrown.code : "another error"));
client.close();
own.close();
await app.stop();

export { api, client, relay, TOPICS };
`;

/** Each of these lines must be an error, and nothing else may be one. */
const WRONG = [
  'relay.publish("orders", { id: "7" });',
  'relay.publish("order", { id: 7 });',
  'relay.publish("chat:1", { txt: "x" });',
  "relay.publish(String(process.pid), {});",
  'relay.register({ user: 1, topics: ["order"] });',
  'client.on("order", () => {});',
  'client.on("orders", ({ text }) => text);',
  'api.publish.post({ topic: "orders", data: { id: "7" } });',
  'baton({ pingMs: "1" });',
  "baton({ workers: 2 });",
];

let folder: Folder;

beforeAll(async () => {
  folder = new Folder();
  mkdirSync(join(folder.path, "bin"));
  symlinkSync(process.execPath, join(folder.path, "bin/bun"));
  const env = { ...process.env, PATH: `${join(folder.path, "bin")}:${process.env.PATH}` };
  const file = packInto(folder.path, env);
  await Bun.write(join(folder.path, "package.json"), '{"private": true, "type": "module"}');
  const versions = [
    `elysia@${versionOf("elysia-older")}`,
    `typescript@${versionOf("typescript-older")}`,
    `@elysiajs/eden@${versionOf("@elysiajs/eden")}`,
    `@types/bun@${versionOf("bun-types")}`,
  ];
  const add = [process.execPath, "add", "--prefer-offline", `./${file}`, ...versions];
  const { exitCode, stderr } = Bun.spawnSync(add, { cwd: folder.path, env });
  expect(exitCode, stderr.toString()).toBe(0);
  await Bun.write(join(folder.path, "app.ts"), APP);
});
afterAll(() => folder[Symbol.dispose]());

/** The version of a package of ours, which may stand behind another name: npm:elysia@1.4.27. */
function versionOf(name: keyof typeof devDependencies): string {
  return devDependencies[name].replace(/^.*@/, "");
}

test("the app embeds a relay, whose client receives what it publishes, and has sockets of its own", async () => {
  const child = Bun.spawn([process.execPath, "app.ts"], {
    cwd: folder.path,
    stdout: "pipe",
    stderr: "pipe",
  });
  const [output, errors] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect([await child.exited, errors]).toEqual([0, ""]);
  expect(output.split("\n")).toEqual(["received 7", "answered own hi", "422 invalid_data", ""]);
});

/** What the app's own TypeScript says of these files. */
async function compile(files: readonly string[], options: object): Promise<string[]> {
  const compilerOptions = {
    module: "nodenext",
    target: "esnext",
    noEmit: true,
    strict: true,
    exactOptionalPropertyTypes: true,
    noImplicitOverride: true,
    noPropertyAccessFromIndexSignature: true,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
    ...options,
  };
  const config = { compilerOptions, files };
  await Bun.write(join(folder.path, "tsconfig.json"), JSON.stringify(config));
  const tsc = [process.execPath, "x", "--no-install", "tsc", "-p", "."];
  const { stdout } = Bun.spawnSync(tsc, { cwd: folder.path });
  return stdout
    .toString()
    .split("\n")
    .filter((line) => line.includes("error"));
}

test("the app compiles with its own TypeScript, but not what is not declared", async () => {
  const imports = 'import { baton } from "baton"; import { api, client, relay } from "./app.js";';
  await Bun.write(join(folder.path, "wrong.ts"), [imports, ...WRONG].join("\n"));
  const found = await compile(["app.ts", "wrong.ts"], { skipLibCheck: true });
  const places = found.map((line) => /^[^(]+\(\d+/.exec(line)?.[0]);
  expect([...new Set(places)], found.join("\n")).toEqual(WRONG.map((_, i) => `wrong.ts(${i + 2}`));
});

test("the package's declarations are whole without those of Elysia and Bun", async () => {
  const code = `
    import { baton, topics } from "baton";
    import { connect } from "baton/client";
    export const relay = baton({ prefix: "/relay", topics: topics({}) });
    export const client = connect(async () => (await relay.register({ user: 1 })).url);
  `;
  await Bun.write(join(folder.path, "declarations.ts"), code);
  const options = { skipLibCheck: false, types: [], lib: ["esnext", "dom"] };
  expect(await compile(["declarations.ts"], options)).toEqual([]);
});
