// What a page has to load for baton/client, and what importing it does.
import { expect, test } from "bun:test";
import { join } from "node:path";
import vm from "node:vm";
import { gzipSync } from "node:zlib";

const SOURCE = join(import.meta.dir, "../../src/client/client.ts");

async function built(): Promise<string> {
  const { outputs } = await Bun.build({ entrypoints: [SOURCE], target: "browser", minify: true });
  return (await outputs[0]?.text()) ?? "";
}

test("the client takes at most 2,048 bytes, minified and compressed", async () => {
  expect(gzipSync(await built(), { level: 9 }).byteLength).toBeLessThanOrEqual(2_048);
});

test("importing it uses nothing of a browser, so that a server may render pages that do", async () => {
  const code = (await built()).replace(/export\s*\{(\w+) as connect\};?/, "globalThis.connect=$1;");
  const global: { connect?: unknown } = {};
  vm.runInNewContext(`(() => {${code}})()`, global);
  expect(Object.keys(global)).toEqual(["connect"]);
  expect(global.connect).toBeFunction();
});
