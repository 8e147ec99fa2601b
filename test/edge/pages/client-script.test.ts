// GET /client.js: pages without a bundler import the client from the relay itself.
import { expect, test } from "bun:test";
import type { connect } from "../../../src/client/client";
import { Folder } from "../../support/machine/folder";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

test("GET /client.js is a module that connects, and takes no more bytes than its package", async () => {
  await using relay = await startRelay();
  using folder = new Folder();
  const { status, headers, text } = await relay.request("GET", "/client.js");
  expect([status, headers.get("content-type")]).toEqual([200, "text/javascript; charset=utf-8"]);
  expect(text.length).toBeLessThan(4_096);
  const path = `${folder.path}/client.js`;
  await Bun.write(path, text);
  const script: { connect: typeof connect } = await import(path);
  const client = script.connect(() => relay.register(1));
  const received: unknown[] = [];
  client.on("a", (data) => received.push(data));
  await until("it to be open", () => client.state === "open");
  await relay.publish("a", "hi");
  await until("the message", () => received.length === 1);
  client.close();
});

test("GET /client.js is 304 for whoever has it, and has CORS headers for pages that may call the relay", async () => {
  await using relay = await startRelay({ BATON_ORIGINS: "https://shop.example" });
  const { headers, text } = await relay.request("GET", "/client.js");
  const etag = headers.get("etag") ?? "";
  const again = { headers: { "if-none-match": `W/"x", ${etag}` } };
  const known = await relay.request("GET", "/client.js", again);
  expect([known.status, known.text, known.headers.get("etag")]).toEqual([304, "", etag]);
  const page = { headers: { origin: "https://shop.example" } };
  const ofPage = await relay.request("GET", "/client.js", page);
  expect([ofPage.status, ofPage.text]).toEqual([200, text]);
  expect(ofPage.headers.get("access-control-allow-origin")).toBe("https://shop.example");
  const stranger = { headers: { origin: "https://other.example" } };
  expect((await relay.request("GET", "/client.js", stranger)).status).toBe(403);
});
