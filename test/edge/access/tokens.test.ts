// Which tokens are accepted, and which are refused: rows I7 and I8 of the fault catalogue.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { exportJWK, type JWTHeaderParameters, SignJWT } from "jose";
import { SECRET } from "../../support/centrifuge/sdk";
import { base64url, connect, signed, signedText } from "../../support/centrifuge/signed-tokens";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";

const secret = new TextEncoder().encode(SECRET);
const now = (): number => Math.floor(Date.now() / 1000);

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");
const pem = (pair: { publicKey: typeof rsa.publicKey }): string =>
  pair.publicKey.export({ type: "spki", format: "pem" }) as string;

describe("with a token secret", () => {
  let relay: TestRelay;
  let outside: ReturnType<typeof Bun.serve>;
  let asked = 0;
  beforeAll(async () => {
    relay = await startRelay({
      BATON_TOKEN_SECRET: SECRET,
      BATON_TOPICS_FILE: topicsFile({ "open:": { allow_subscribe: ["client"] } }),
    });
    outside = Bun.serve({
      port: 0,
      fetch() {
        asked++;
        return new Response("{}");
      },
    });
  });
  afterAll(async () => {
    await relay[Symbol.asyncDispose]();
    await outside.stop(true);
  });

  test.each(["HS256", "HS384", "HS512"])("a valid token in %s is accepted", async (alg) => {
    const token = await new SignJWT({ sub: "42" }).setProtectedHeader({ alg }).sign(secret);
    const { first, client } = await connect(relay, token);
    expect(first.connect.client).toBeString();
    client.drop();
  });

  const payload = base64url('{"sub":"42"}');
  const address = (): string => `http://127.0.0.1:${outside.port}/keys`;
  const refused: [string, () => string | Promise<string>][] = [
    ["without a signature, alg none", () => `${base64url('{"alg":"none"}')}.${payload}.`],
    ["with alg None", () => `${base64url('{"alg":"None"}')}.${payload}.`],
    ["with alg nOnE and a signature", () => signed({ sub: "42" }, { alg: "nOnE" })],
    [
      "of another secret",
      () =>
        new SignJWT({ sub: "42" })
          .setProtectedHeader({ alg: "HS256" })
          .sign(new TextEncoder().encode("x".repeat(32))),
    ],
    ["of an empty secret", () => signedText('{"sub":"42"}', '{"alg":"HS256"}', "")],
    ["whose claims were changed", () => signed({ sub: "41" }).replace(/\.[^.]+\./, `.${payload}.`)],
    ["whose header says RS256", () => signed({ sub: "42" }, { alg: "RS256" })],
    [
      "signed with an RSA key of its own",
      () => new SignJWT({ sub: "42" }).setProtectedHeader({ alg: "RS256" }).sign(rsa.privateKey),
    ],
    [
      "with its own key in jwk",
      async () =>
        new SignJWT({ sub: "42" })
          .setProtectedHeader({
            alg: "RS256",
            jwk: await exportJWK(rsa.publicKey),
          } as JWTHeaderParameters)
          .sign(rsa.privateKey),
    ],
    [
      "with a key address in jku",
      () =>
        new SignJWT({ sub: "42" })
          .setProtectedHeader({ alg: "RS256", jku: address() } as JWTHeaderParameters)
          .sign(rsa.privateKey),
    ],
    [
      "with a key address in x5u",
      () =>
        new SignJWT({ sub: "42" })
          .setProtectedHeader({ alg: "RS256", x5u: address() } as JWTHeaderParameters)
          .sign(rsa.privateKey),
    ],
    ["with crit", () => signed({ sub: "42" }, { crit: ["exp"], exp: 1 })],
    ["with crit b64", () => signed({ sub: "42" }, { crit: ["b64"], b64: false })],
    ["of five parts", () => "a.b.c.d.e"],
    ["of empty parts", () => ".."],
    ["of 100 KB", () => signed({ sub: "42", pad: "x".repeat(45_000) })],
    ["that is not a token", () => "token"],
    ["for a topic", () => signed({ sub: "42", channel: "open:a" })],
    ["whose user is a number", () => signed({ sub: 42 })],
    ["whose user is too long", () => signed({ sub: "x".repeat(129) })],
    ["whose user has a control character", () => signed({ sub: "a\u0000b" })],
    ["whose user is a lone surrogate", () => signedText('{"sub":"\\ud800"}')],
    ["whose exp is a string", () => signed({ sub: "42", exp: String(now() + 60) })],
    ["whose exp is infinite", () => signedText('{"sub":"42","exp":1e400}')],
    ["whose nbf is a string", () => signed({ sub: "42", nbf: "1" })],
    ["whose expire_at is a string", () => signed({ sub: "42", expire_at: "0" })],
    ["that has its user twice", () => signedText('{"sub":"42","sub":"41"}')],
    ["that has its exp twice", () => signedText(`{"exp":1,"sub":"42","\\u0065xp":${now() + 60}}`)],
    ["that has its alg twice", () => signedText('{"sub":"42"}', '{"alg":"none","alg":"HS256"}')],
    ["whose claims are a list", () => signedText("[]")],
    ["whose topics are a string", () => signed({ sub: "42", channels: "a" })],
    ["whose topics are numbers", () => signed({ sub: "42", channels: [1] })],
    ["with an invalid topic name", () => signed({ sub: "42", channels: ["a\nb"] })],
    [
      "with too many topics",
      () => signed({ sub: "42", channels: Array.from({ length: 129 }, (_, i) => `t${i}`) }),
    ],
  ];
  test.each(refused)("I7: a token %s is refused", async (_, make) => {
    const { code, first } = await connect(relay, await make());
    expect([3500, 3505, 1009], JSON.stringify(first)).toContain(code as number);
    expect(asked).toBe(0);
    expect((await fetch(`${relay.url}/health`)).status).toBe(200);
  });

  const untimely: [string, object][] = [
    ["that has expired", { exp: now() - 60 }],
    ["that is not valid yet", { nbf: now() + 3_600 }],
    ["that expired in 1970", { exp: 0 }],
    ["whose exp is negative", { exp: -1 }],
    ["whose expire_at has passed", { exp: now() + 60, expire_at: now() - 60 }],
  ];
  test.each(untimely)("I7: a token %s is answered with error 109", async (_, claims) => {
    const { first, client } = await connect(relay, signed({ sub: "42", ...claims }));
    expect(first.error?.code, JSON.stringify(first)).toBe(109);
    client.drop();
  });

  test("a token that expired two seconds ago is accepted, since clocks may differ", async () => {
    const { first, client } = await connect(relay, signed({ sub: "42", exp: now() - 2 }));
    expect(first.connect).toBeDefined();
    client.drop();
  });

  test("a client without a token is closed with 3501", async () => {
    expect((await connect(relay, "")).code).toBe(3501);
  });

  test("a refresh with the user's own token prolongs the connection, and with another user's token ends it", async () => {
    const { client } = await connect(relay, signed({ sub: "42", exp: now() + 60 }));
    client.send({ id: 2, refresh: { token: signed({ sub: "42", exp: now() + 600 }) } });
    expect(JSON.parse(await client.next()).refresh).toMatchObject({ expires: true });
    client.send({ id: 3, refresh: { token: signed({ sub: "41" }) } });
    expect((await client.closed).code).toBe(3500);
  });

  test("a refresh with an expired token ends the connection with 3005", async () => {
    const { client } = await connect(relay, signed({ sub: "42" }));
    client.send({ id: 2, refresh: { token: signed({ sub: "42", exp: now() - 60 }) } });
    expect((await client.closed).code).toBe(3005);
  });
});

describe("I7: with BATON_TOKEN_AUDIENCE and BATON_TOKEN_ISSUER", () => {
  let relay: TestRelay;
  beforeAll(async () => {
    relay = await startRelay({
      BATON_TOKEN_SECRET: SECRET,
      BATON_TOKEN_AUDIENCE: "baton",
      BATON_TOKEN_ISSUER: "https://id.example",
    });
  });
  afterAll(() => relay[Symbol.asyncDispose]());
  const iss = "https://id.example";

  test.each<[string, object]>([
    ["without either", {}],
    ["without an audience", { iss }],
    ["for another audience", { iss, aud: "shop" }],
    ["for other audiences", { iss, aud: ["shop", "baton.example"] }],
    ["whose audience is not a string", { iss, aud: { baton: true } }],
    ["without an issuer", { aud: "baton" }],
    ["of another issuer", { iss: `${iss}.evil.example`, aud: "baton" }],
    ["of a list of issuers", { iss: [iss], aud: "baton" }],
  ])("a token %s is refused", async (_, claims) => {
    expect((await connect(relay, signed({ sub: "42", ...claims }))).code).toBe(3500);
  });

  test.each<[string, object]>([
    ["for this audience alone", { iss, aud: "baton" }],
    ["for this audience and others", { iss, aud: ["shop", "baton"] }],
  ])("a token %s is accepted", async (_, claims) => {
    const { first, client } = await connect(relay, signed({ sub: "42", ...claims }));
    expect(first.connect).toBeDefined();
    client.drop();
  });
});

describe("with a token public key", () => {
  const pairs = { RS256: rsa, ES256: ec, EdDSA: ed };
  for (const [alg, pair] of Object.entries(pairs)) {
    test(`I7: a token in ${alg} is accepted, and one that uses the public key as a secret is refused`, async () => {
      await using relay = await startRelay({ BATON_TOKEN_PUBLIC_KEY: pem(pair) });
      const good = await new SignJWT({ sub: "42" })
        .setProtectedHeader({ alg })
        .sign(pair.privateKey);
      const { first, client } = await connect(relay, good);
      expect(first.connect).toBeDefined();
      client.drop();
      for (const key of [
        pem(pair),
        pem(pair).trim(),
        pair.publicKey.export({ type: "spki", format: "der" }),
      ]) {
        const confused = signedText('{"sub":"42"}', '{"alg":"HS256"}', key);
        expect((await connect(relay, confused)).code).toBe(3500);
      }
    });
  }
});

test("I8: keys are fetched from BATON_TOKEN_JWKS_URL, but not for each unknown key name", async () => {
  const key = async (pair: typeof rsa, kid: string) => ({
    ...(await exportJWK(pair.publicKey)),
    kid,
  });
  const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const keys = [await key(rsa, "first")];
  let asked = 0;
  using server = Bun.serve({
    port: 0,
    fetch() {
      asked++;
      return Response.json({ keys });
    },
  });
  await using relay = await startRelay({
    BATON_TOKEN_JWKS_URL: `http://127.0.0.1:${server.port}/keys`,
  });
  const token = (pair: typeof rsa, kid: string) =>
    new SignJWT({ sub: "42" }).setProtectedHeader({ alg: "RS256", kid }).sign(pair.privateKey);
  const { first, client } = await connect(relay, await token(rsa, "first"));
  expect(first.connect).toBeDefined();
  client.drop();
  expect(asked).toBe(1);
  for (const kid of ["x", "../../x", "http://127.0.0.1/x", "__proto__"]) {
    expect((await connect(relay, await token(other, kid))).code).toBe(3500);
  }
  expect((await connect(relay, await token(other, "first"))).code).toBe(3500);
  expect(asked).toBeLessThanOrEqual(2);
});
