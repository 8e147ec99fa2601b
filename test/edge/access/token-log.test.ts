// What the log says about tokens that are refused. The client is only told that its token is invalid.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TokenLog } from "../../../src/edge/access/token-log";
import { createLog } from "../../../src/log";
import { SECRET } from "../../support/centrifuge/sdk";
import { connect, signed, signedText } from "../../support/centrifuge/signed-tokens";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startRelay({
    BATON_TOKEN_SECRET: SECRET,
    BATON_TOKEN_AUDIENCE: "relay",
    BATON_TOKEN_ISSUER: "us",
  });
});
afterAll(() => relay[Symbol.asyncDispose]());

const good = { sub: "42", aud: "relay", iss: "us" };
const inTenMinutes = (): number => Math.floor(Date.now() / 1000) + 600;

const refused: [string, () => string, string][] = [
  ["of another secret", () => signedText(JSON.stringify(good), undefined, "x".repeat(32)), "keys"],
  ["of another algorithm", () => signed(good, { alg: "RS256" }), "keys"],
  ["that is no token", () => "Bearer abc", "JSON Web Token"],
  ["that is too long", () => "x".repeat(16_385), "16384 characters"],
  ["for somebody else", () => signed({ ...good, aud: "other" }), "BATON_TOKEN_AUDIENCE"],
  ["of another issuer", () => signed({ ...good, iss: "other" }), "BATON_TOKEN_ISSUER"],
  ["whose user is a number", () => signed({ ...good, sub: 42 }), 'write \\"42\\", not 42'],
  ["whose user is too long", () => signed({ ...good, sub: "x".repeat(129) }), "128 characters"],
  ["whose exp is a text", () => signed({ ...good, exp: String(inTenMinutes()) }), "exp is not a"],
  ["whose expire_at is a text", () => signed({ ...good, expire_at: "1" }), "expire_at is not a"],
  ["for a topic", () => signed({ ...good, channel: "$a" }), "is for a topic"],
  ["whose topics are a text", () => signed({ ...good, channels: "a" }), "channels are not a list"],
  [
    "with a name twice",
    () => signedText('{"sub":"1","sub":"2","aud":"relay","iss":"us"}'),
    "twice",
  ],
];

test.each(refused)("a token %s is refused, and the log says why", async (_, make, why) => {
  const token = make();
  const { code } = await connect(relay, token);
  expect(code).toBe(3500);
  const lines = relay.log.filter((line) => line.includes("a client's token was refused"));
  expect(lines.filter((line) => line.includes(why))).toHaveLength(1);
  expect(relay.log.join()).not.toContain(token);
});

test("a token with an exp in milliseconds counts, and the log says that seconds are meant", async () => {
  const { first, client } = await connect(relay, signed({ ...good, exp: inTenMinutes() * 1000 }));
  expect(first.connect.ttl).toBe(2 ** 31 - 1);
  expect(relay.log.filter((line) => line.includes("not in milliseconds"))).toHaveLength(1);
  client.drop();
});

test("each cause is logged once a minute at most", () => {
  const lines: string[] = [];
  const log = new TokenLog(createLog("info", { write: (line) => void lines.push(line) }));
  for (const why of ["one", "two", "one", "two"]) log.refused(why);
  expect(lines.map((line) => JSON.parse(line).why)).toEqual(["one", "two"]);
});
