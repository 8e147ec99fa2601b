// Passwords and certificates of sources: what BATON_SOURCES_FILE may say of them, and what a server that refuses them is answered with.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { sourcesIn } from "../../src/sources/declarations";
import { SOURCE_KINDS } from "../../src/sources/index";
import { example } from "../support/docs/pages";
import { RedisServer } from "../support/engines/redis-server";
import { Authority } from "../support/machine/authority";
import { freePort } from "../support/machine/free-port";
import { opened } from "../support/sources/opened";

const PEM = "-----BEGIN CERTIFICATE-----";
const REDIS = { kind: "redis", url: "redis://h", stream: "s" };
const NATS = { kind: "nats", servers: ["nats://h"], stream: "S", dead_letters: "d" };
const POSTGRESQL = { kind: "postgresql", url: "postgres://h/d" };

function problemOf(source: object): string {
  try {
    sourcesIn({ a: source }, () => "p@ss/1");
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

describe("credentials of sources", () => {
  test("the secured sources of docs/sources.md are sources", () => {
    const file = JSON.parse(example("docs/sources.md", "secured.json"));
    const sources = sourcesIn(file, (name) => (/CA|CERT/.test(name) ? PEM : "p@ss/1"));
    expect(sources.map(({ kind }) => kind).toSorted()).toEqual(
      Object.keys(SOURCE_KINDS).toSorted(),
    );
    expect(sources[0]?.options).toMatchObject({
      url: "postgres://baton:p%40ss%2F1@db.example.com/shop?sslmode=verify-full",
    });
  });

  test.each([
    ["a certificate where nothing asks for TLS", { ...REDIS, ca: PEM }, "rediss:// in url"],
    ["a certificate without its key", { ...REDIS, url: "rediss://h", cert: PEM }, "cert and key"],
    ["the name of a file", { ...REDIS, url: "rediss://h", ca: "/ca.pem" }, "set NAME_FILE"],
    ["a misspelt sslmode", { ...POSTGRESQL, url: "postgres://h/d?sslmode=on" }, "verify-full"],
    ["a user without a password", { ...NATS, user: "u" }, "user and password"],
    ["two ways to log in", { ...NATS, token: "t", nkey: "n" }, "one of user, token"],
    ["a password among servers", { ...NATS, servers: ["nats://u:p@h"] }, "fields of their own"],
    ["a password that ends the address", { ...REDIS, url: "redis://:a/b@h" }, "percent-encoded"],
    ["a reference that is none", { ...REDIS, url: "redis://:${a-b}@h" }, "no reference"],
  ])("%s is refused", (_, source, words) => {
    const problem = problemOf(source);
    expect(problem).toContain(words);
    expect(problem).not.toContain("a/b");
  });

  test("Redis says why it refuses them, and no password is in that", async () => {
    const authority = new Authority();
    using _folder = authority.folder;
    const { cert, key } = authority.issue("redis");
    const ca = readFileSync(authority.ca, "utf8");
    const tlsPort = freePort();
    const files = [
      "--tls-cert-file",
      cert,
      "--tls-key-file",
      key,
      "--tls-ca-cert-file",
      authority.ca,
    ];
    await using server = await RedisServer.start({
      password: "right",
      args: ["--tls-port", String(tlsPort), ...files, "--tls-auth-clients", "no"],
    });
    const secured = `rediss://:right@127.0.0.1:${tlsPort}`;
    const answers = await Promise.all([
      opened({ ...REDIS, url: server.url }),
      opened({ ...REDIS, url: secured, ca, stream: "other" }),
      opened({ ...REDIS, url: server.url.replace("right", "w0ng") }),
      opened({ ...REDIS, url: server.url.replace(":right@", "") }),
      opened({ ...REDIS, url: secured }),
      opened({ ...REDIS, url: "redis://:w0ng@127.0.0.1:1" }),
    ]);
    expect(answers).toEqual([
      "opened",
      "opened",
      expect.stringContaining("WRONGPASS"),
      expect.stringContaining("NOAUTH"),
      expect.stringContaining("certificate"),
      expect.stringContaining("127.0.0.1:1 cannot be used"),
    ] as never);
    expect(answers.join()).not.toContain("w0ng");
  });
});
