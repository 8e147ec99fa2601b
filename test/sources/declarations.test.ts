// What BATON_SOURCES_FILE may say, and what a wrong file is answered with.
import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readSettings } from "../../src/settings/read";
import { Folder } from "../support/machine/folder";

const REDIS = { kind: "redis", url: "redis://127.0.0.1:1", stream: "s" };

function read(file: unknown, env: Record<string, string> = {}) {
  using folder = new Folder();
  const path = join(folder.path, "sources.json");
  writeFileSync(path, typeof file === "string" ? file : JSON.stringify(file));
  return readSettings({ BATON_SOURCES_FILE: path, ...env });
}

function problemOf(file: unknown, env: Record<string, string> = {}): string {
  try {
    read(file, env);
    return "";
  } catch (error) {
    return (error as Error).message.replace(/^BATON_SOURCES_FILE="[^"]*" is not allowed: /, "");
  }
}

describe("BATON_SOURCES_FILE", () => {
  test("declares sources by their names, several of a kind", () => {
    const { sources } = read({
      a: REDIS,
      b: { ...REDIS, stream: "s2", topics: ["orders:"], tombstones: "skip" },
    });
    expect(sources).toEqual([
      {
        name: "a",
        kind: "redis",
        options: { url: REDIS.url, stream: "s" },
        mapping: undefined,
        topics: undefined,
        tombstones: "bury",
      },
      expect.objectContaining({ name: "b", topics: ["orders:"], tombstones: "skip" }),
    ] as never);
  });

  test("names the field that is wrong, and says what is allowed", () => {
    expect(problemOf('{"a": secret}')).toMatch(/^it cannot be read as JSON: [^"]*identifier\.$/);
    expect(problemOf([])).toContain("an object of sources by their names");
    expect(problemOf({ A: REDIS })).toContain("at /A it has a name");
    expect(problemOf({ a: { kind: "mysql" } })).toContain("at /a/kind it must have one of");
    expect(problemOf({ a: { ...REDIS, sream: "x" } })).toMatch(
      /at \/a\/sream it has a field that is not known. There may be .*stream/,
    );
    expect(problemOf({ a: { kind: "redis", url: REDIS.url } })).toBe(
      "at /a/stream it must have a text of 1 to 512 characters, and has nothing. The key of the stream.",
    );
    expect(problemOf({ a: { ...REDIS, from: "last" } })).toContain(
      'at /a/from it must have "first" or "next", and has another text. Where',
    );
    expect(problemOf({ a: { ...REDIS, mapping: { topic: "t", dat: "" } } })).toContain(
      "There may be topic, data",
    );
    expect(problemOf({ a: { ...REDIS, url: "http://x" } })).toContain("at /a/url");
    expect(problemOf({ a: { ...REDIS, mapping: { topic: "{", data: "{@body}" } } })).toContain(
      "at /a/mapping/topic it has a {",
    );
    expect(problemOf({ a: { ...REDIS, url: "redis://:pw@h:99999" } })).toContain("at /a/url");
    expect(problemOf({ a: REDIS, b: REDIS })).toBe("at /b it has the same source as /a.");
    expect(problemOf({ a: { ...REDIS, topics: [""] } })).toContain("at /a/topics");
  });

  test("takes passwords from variables and their files, which errors do not show", () => {
    const url = "redis://:${PW}@127.0.0.1:1";
    const { sources, unknownVariables } = read(
      { a: { ...REDIS, url: "redis://:${BATON_PW}@127.0.0.1:1" } },
      { BATON_PW: "p@ss/1" },
    );
    expect(sources[0]?.options).toMatchObject({ url: "redis://:p%40ss%2F1@127.0.0.1:1" });
    expect(unknownVariables).toEqual([]);
    expect(problemOf({ a: { ...REDIS, url } })).toContain("it refers to ${PW}, which is not set");
    const whole = { a: { ...REDIS, url: "${URL}" } };
    expect(problemOf(whole, { URL: "http://secret" })).toMatch(
      /^at \/a\/url it must have .*, and has another text/,
    );
    expect(read(whole, { URL: REDIS.url }).sources[0]?.options).toMatchObject({ url: REDIS.url });
    using folder = new Folder();
    const path = join(folder.path, "pw");
    writeFileSync(path, "from-file\n");
    const file = read({ a: { ...REDIS, url } }, { PW_FILE: path });
    expect(file.sources[0]?.options).toMatchObject({ url: "redis://:from-file@127.0.0.1:1" });
  });
});
