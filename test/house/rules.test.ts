// The rules of the house test themselves: each must find the fault that it is there for, and leave good code alone.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAll, type SourceFile, type Violation } from "./code";
import { unusedExports } from "./exports";
import { circles, crowdedFolders, importsNotDownwards, packagesOutOfPlace } from "./folders";
import { booleanParameters, longFunctions } from "./functions";
import { unusedMembers } from "./members";
import { badFiles, badNames } from "./names";

type Rule = (files: readonly SourceFile[]) => Violation[];

const keys = (rule: Rule, texts: Record<string, string>): string[] =>
  rule(parseAll(texts)).map(({ key }) => key);

test("an import upwards, sideways or from a place without a floor is found; one downwards is not", () => {
  const found = keys(importsNotDownwards, {
    "src/node.ts": 'import "./edge/server"; import "./log"; import "./version";',
    "src/version.ts": 'import "../package.json";',
    "src/log.ts": "",
    "src/edge/server.ts":
      'import type { S } from "../settings/definitions"; import "./access/keys";',
    "src/edge/access/keys.ts": 'import "../http/body"; export { x } from "../../engines/index";',
    "src/edge/http/body.ts": 'import "../transports/stream"; const later = import("../server");',
    "src/edge/transports/stream.ts": 'import "../strange/place";',
    "src/edge/strange/place.ts": "",
    "src/engines/index.ts": "",
    "src/relay/relay.ts": 'import "./backend"; import "../log";',
    "src/relay/backend.ts": 'import type { R } from "./relay"; let r: import("./sessions/a").A;',
    "src/relay/sessions/a.ts": "",
    "src/settings/definitions.ts": "",
    "bench/main.ts": 'import "./run/server"; import "../src/node"; import "../test/house/code";',
    "bench/run/server.ts": 'import "../scenarios/index"; import "../targets/target";',
    "bench/scenarios/index.ts": "",
    "bench/targets/target.ts": "",
  });
  expect(found).toEqual([
    "src/edge/access/keys.ts > src/edge/http/body.ts",
    "src/edge/access/keys.ts > src/engines/index.ts",
    "src/edge/http/body.ts > src/edge/transports/stream.ts",
    "src/edge/http/body.ts > src/edge/server.ts",
    "src/edge/transports/stream.ts > src/edge/strange/place.ts",
    "src/relay/relay.ts > src/log.ts",
    "src/relay/backend.ts > src/relay/relay.ts",
    "bench/main.ts > test/house/code",
    "bench/run/server.ts > bench/scenarios/index.ts",
  ]);
});

test("a package is found where its folder must not use it", () => {
  const found = keys(packagesOutOfPlace, {
    "src/edge/a.ts": 'import { Elysia } from "elysia"; import "jose";',
    "src/engines/b.ts": 'import { Database } from "bun:sqlite"; import "elysia";',
    "src/relay/c.ts": 'import type { Server } from "bun";',
  });
  expect(found).toEqual(["src/engines/b.ts > elysia", "src/relay/c.ts > bun"]);
});

test("a circle of files is found once, also one of types alone", () => {
  const found = keys(circles, {
    "src/a.ts": 'import type { B } from "./b";',
    "src/b.ts": 'import { c } from "./c";',
    "src/c.ts": 'export * from "./a"; import "./d";',
    "src/d.ts": 'import "elysia";',
    "bench/e.ts": 'import "./f";',
    "bench/f.ts": 'import "./e";',
  });
  expect(found).toEqual(["src/a.ts src/b.ts src/c.ts", "bench/e.ts bench/f.ts"]);
});

test("a folder with 13 files and a stray file at the top of src are found", () => {
  const files = (folder: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${folder}/${i}.ts`);
  const paths = [...files("src/full", 13), ...files("src/good", 12), "src/main.ts", "src/hub.ts"];
  expect(crowdedFolders(paths).map(({ key }) => key)).toEqual(["src/full", "src/hub.ts"]);
});

test("names without a noun are found", () => {
  const found = keys(badNames, {
    "src/connecting/string.ts": "class Setting {} interface HistoryReader {}",
    "src/asking/utils.test.ts": "",
    "src/body.ts": "class HistoryReading {} interface TopicManager {} type Sending = 1;",
  });
  expect(found).toEqual([
    "src/asking/utils.test.ts",
    "src/asking",
    "src/body.ts: HistoryReading",
    "src/body.ts: TopicManager",
    "src/body.ts: Sending",
  ]);
});

test("a file of 401 lines and one that does not say its job are found", () => {
  const found = keys(badFiles, {
    "src/long.ts": `// Its job.\n${"f();\n".repeat(400)}`,
    "src/good.ts": `// Its job.\n${"f();\n".repeat(399)}`,
    "src/mute.ts": 'import "./good";',
  });
  expect(found).toEqual(["src/long.ts: length", "src/mute.ts: first line"]);
});

test("a function of 61 lines is found by the name that a reader knows it by; suites may be longer", () => {
  const body = (lines: number) => `{\n${"f();\n".repeat(lines - 2)}}`;
  const found = keys(longFunctions, {
    "src/a.ts": `function start() ${body(61)} function good() ${body(60)}
      class Relay { constructor() ${body(61)} #end = () => ${body(61)}; }
      const routes = () => use(() => ${body(61)});`,
    "test/a.test.ts": `describe("a", () => ${body(80)}); describe.each([1])("b", () => ${body(80)});
      test.skipIf(true).each([1])("too long", async () => ${body(61)});`,
  });
  expect(found).toEqual([
    "src/a.ts: start",
    "src/a.ts: Relay.constructor",
    "src/a.ts: Relay.#end",
    "src/a.ts: routes",
    "src/a.ts: a function in routes",
    'test/a.test.ts: test("too long")',
  ]);
});

test("a boolean parameter is found in every kind of signature; an option or a setter is none", () => {
  const found = keys(booleanParameters, {
    "src/a.ts": `function end(id: string, waits: boolean) {}
      class Relay { close(dropped = false) {} set open(is: boolean) {} #fill(a?: boolean) {} }
      interface Events { onEnd(clean: boolean | undefined): void; after: (late: true) => void }
      const read = ({ typed }: { typed: boolean }, most = 1, keep: (text: string) => boolean) => {};
      type Test = (is: boolean) => void; const textOf = (value: string | boolean) => "";`,
    "test/a.ts": "const f = (is: boolean) => is;",
  });
  expect(found).toEqual([
    "src/a.ts: end(waits)",
    "src/a.ts: Relay.close(dropped)",
    "src/a.ts: Relay.#fill(a)",
    "src/a.ts: onEnd(clean)",
    "src/a.ts: after(late)",
    "src/a.ts: Test(is)",
  ]);
});

test("an export that only its own file or a test uses is found", () => {
  const found = keys(unusedExports, {
    "src/a.ts": `export const used = 1, unused = 2; export class ForTests {} const own = 3;
      export interface Options {} export { own as renamed }; export default 1;`,
    "src/b.ts": 'export { used } from "./a";',
    "bench/c.ts": 'import { used } from "../src/b";',
    "src/d.ts": "export const all = 1;",
    "src/e.ts": 'import * as d from "./d";',
    "test/a.test.ts": 'import { ForTests } from "../src/a"; import { help } from "./support/b";',
    "test/support/b.ts": "export const help = 1; export const forgotten = 2;",
  });
  expect(found).toEqual([
    "src/a.ts: unused",
    "src/a.ts: ForTests",
    "src/a.ts: Options",
    "src/a.ts: renamed",
    "src/a.ts: default",
    "test/support/b.ts: forgotten",
  ]);
});

test("a public member that no other class reads is found, though another has its name", async () => {
  const texts = {
    "src/a.ts": `import type { Engine } from "./b";
      export class History implements Engine {
        bytes = 0; topics = 0; used = 0; own = 1; #own = 2;
        get size() { return this.own + this.#own; } sweep() {} count() {} name = "memory";
        constructor() { this.bytes = 1; }
      }
      export class Cache { bytes = 0; }`,
    "src/b.ts":
      "export interface Engine extends Named { sweep(): void } interface Named { name: string }",
    "bench/c.ts": `import { Cache, History } from "../src/a"; import type { Engine } from "../src/b";
      export const c = new Cache().bytes; const { topics } = new History(); new History().used++;
      export const f = (engine: Engine) => engine.sweep() ?? topics ?? f.name;`,
    "test/a.test.ts": 'import { History } from "../src/a"; new History().count();',
  };
  const root = mkdtempSync(join(tmpdir(), "baton-house-"));
  try {
    await Bun.write(join(root, "tsconfig.json"), '{ "include": ["src", "bench"] }');
    for (const [path, text] of Object.entries(texts)) await Bun.write(join(root, path), text);
    const found = await unusedMembers(parseAll(texts), root);
    expect(found.map(({ key, message }) => `${key} ${/Make it #private/.test(message)}`)).toEqual([
      "src/a.ts: History.bytes false",
      "src/a.ts: History.own true",
      "src/a.ts: History.size false",
      "src/a.ts: History.count false",
      "src/a.ts: History.name false",
    ]);
  } finally {
    rmSync(root, { recursive: true });
  }
}, 120_000);
