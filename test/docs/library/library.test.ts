// The examples of docs/library.md are the files of docs/examples/library, which `bun run types` compiles: a line under @ts-expect-error
// that compiles is an error there. Here they run as they stand.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pack } from "../../../docs/examples/library/other-program";
import { showOrders } from "../../../docs/examples/library/page";
import { app } from "../../../docs/examples/library/shop";
import { wrong } from "../../../docs/examples/library/wrong";
import { example, ROOT } from "../../support/docs/pages";
import { RecordingApp } from "../../support/docs/recording-app";
import { EmbeddingApp } from "../../support/library/embedding-app";
import { until } from "../../support/wait";

const FOLDER = join(ROOT, "docs/examples/library");

let running: EmbeddingApp;

beforeAll(() => {
  running = new EmbeddingApp(app);
});
afterAll(() => running[Symbol.asyncDispose]());

const FILES = ["main.ts", "other-program.ts", "page.ts", "shop.ts", "topics.ts", "wrong.ts"];

test("the page shows all files as they are", () => {
  expect(readdirSync(FOLDER).toSorted()).toEqual(FILES);
  for (const name of FILES) {
    expect(example("docs/library.md", name)).toBe(readFileSync(join(FOLDER, name), "utf8"));
  }
});

test("the page of the shop shows what it publishes, and what another program does", async () => {
  using recording = new RecordingApp();
  const client = showOrders(running.url, (line) => recording.onMessage("orders", line));
  await until("the client to be open", () => client.state === "open");
  const ship = async () => (await running.post("/orders/7/ship", {})).json.delivered;
  await until("it to be subscribed", async () => (await ship()) === 1);
  expect(await recording.take(1)).toEqual(['orders: "7 is shipped"']);
  expect(await pack(running.url, 8)).toBe(1);
  expect(await recording.take(1)).toEqual(['orders: "8 is packed"']);
  client.close();
});

test("what does not compile is refused", async () => {
  const codes = wrong.map((call) => call().catch(({ code }) => code));
  expect(await Promise.all(codes)).toEqual(["undeclared_topic", "invalid_data", "invalid_data"]);
});
