// Tokens as an enemy would make them. Rows I7 and I8 of the fault catalogue, and section 6 to 8 of the protocol.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { base64url, exportJWK, type JWTHeaderParameters, SignJWT } from "jose";
import { Client } from "../../support/clients/client";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";
import { topicsFile } from "../../support/relay/topics-file";
import { within } from "../../support/wait";

const SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const secret = new TextEncoder().encode(SECRET);
const now = (): number => Math.floor(Date.now() / 1000);
const json = (value: unknown): string => base64url.encode(JSON.stringify(value));

const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
const ed = generateKeyPairSync("ed25519");
const pem = (pair: { publicKey: typeof rsa.publicKey }): string =>
  pair.publicKey.export({ type: "spki", format: "pem" }) as string;

/** Signed by the relay's own secret. */
function signed(claims: object, header: object = {}): string {
  const text = `${json({ alg: "HS256", typ: "JWT", ...header })}.${json(claims)}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

/** The same for claims and a header as they stand. */
function signedText(claims: string, header = '{"alg":"HS256"}'): string {
  const text = `${base64url.encode(header)}.${base64url.encode(claims)}`;
  return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
}

/** What becomes of a client that connects with this token: its user's first reply, or the code that it is closed with. */
async function connect(relay: TestRelay, token: string) {
  const client = await Client.open(`${relay.url.replace("http", "ws")}/connection/websocket`);
  client.send({ id: 1, connect: { token } });
  const reply = client.next().then((frame) => JSON.parse(frame));
  const first = await within("an answer", Promise.race([reply, client.closed]));
  return { client, first, code: first.code as number | undefined };
}

/** The reply to a subscribe command, or the code. */
async function subscribe(relay: TestRelay, user: string, channel: string, token = "") {
  const { client } = await connect(relay, signed({ sub: user }));
  client.send({ id: 2, subscribe: { channel, token } });
  const reply = client.next().then((frame) => JSON.parse(frame));
  const first = await within("an answer", Promise.race([reply, client.closed]));
  client.drop();
  return first.subscribe === undefined ? (first.error?.code ?? first.code) : "subscribed";
}

describe("with a secret", () => {
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

  test.each(["HS256", "HS384", "HS512"])("a good token in %s is taken", async (alg) => {
    const token = await new SignJWT({ sub: "42" }).setProtectedHeader({ alg }).sign(secret);
    const { first, client } = await connect(relay, token);
    expect(first.connect.client).toBeString();
    client.drop();
  });

  const payload = json({ sub: "42" });
  const address = (): string => `http://127.0.0.1:${outside.port}/keys`;
  const refused: [string, () => string | Promise<string>][] = [
    ["without a signature, alg none", () => `${json({ alg: "none" })}.${payload}.`],
    ["alg None", () => `${json({ alg: "None" })}.${payload}.`],
    ["alg nOnE with a signature", () => signed({ sub: "42" }, { alg: "nOnE" })],
    [
      "of another secret",
      () =>
        new SignJWT({ sub: "42" })
          .setProtectedHeader({ alg: "HS256" })
          .sign(new TextEncoder().encode("x".repeat(32))),
    ],
    [
      "of an empty secret",
      () => {
        const text = `${json({ alg: "HS256" })}.${payload}`;
        return `${text}.${createHmac("sha256", "").update(text).digest("base64url")}`;
      },
    ],
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
      "with an address of keys in jku",
      () =>
        new SignJWT({ sub: "42" })
          .setProtectedHeader({ alg: "RS256", jku: address() } as JWTHeaderParameters)
          .sign(rsa.privateKey),
    ],
    [
      "with an address in x5u",
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
    ["that is no token", () => "token"],
    ["for a topic", () => signed({ sub: "42", channel: "open:a" })],
    ["whose user is a number", () => signed({ sub: 42 })],
    ["whose user is too long", () => signed({ sub: "x".repeat(129) })],
    [
      "whose user is a lone surrogate",
      () => {
        const text = `${json({ alg: "HS256" })}.${base64url.encode('{"sub":"\\ud800"}')}`;
        return `${text}.${createHmac("sha256", SECRET).update(text).digest("base64url")}`;
      },
    ],
    ["whose exp is a text", () => signed({ sub: "42", exp: String(now() + 60) })],
    ["whose exp has no end", () => signedText('{"sub":"42","exp":1e400}')],
    ["whose nbf is a text", () => signed({ sub: "42", nbf: "1" })],
    ["whose expire_at is a text", () => signed({ sub: "42", expire_at: "0" })],
    ["that names its user twice", () => signedText('{"sub":"42","sub":"41"}')],
    [
      "that names its end twice",
      () => signedText(`{"exp":1,"sub":"42","\\u0065xp":${now() + 60}}`),
    ],
    ["that names its alg twice", () => signedText('{"sub":"42"}', '{"alg":"none","alg":"HS256"}')],
    ["whose claims are a list", () => signedText("[]")],
    ["whose topics are a text", () => signed({ sub: "42", channels: "a" })],
    ["whose topics are no names", () => signed({ sub: "42", channels: [1] })],
    ["with a topic that cannot be", () => signed({ sub: "42", channels: ["a\nb"] })],
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
    ["whose expire_at is over", { exp: now() + 60, expire_at: now() - 60 }],
  ];
  test.each(untimely)("I7: a token %s is answered 109", async (_, claims) => {
    const { first, client } = await connect(relay, signed({ sub: "42", ...claims }));
    expect(first.error?.code, JSON.stringify(first)).toBe(109);
    client.drop();
  });

  test("clocks may differ by a few seconds, and no more", async () => {
    const { first, client } = await connect(relay, signed({ sub: "42", exp: now() - 2 }));
    expect(first.connect).toBeDefined();
    client.drop();
  });

  test("a client without a token is closed with 3501", async () => {
    expect((await connect(relay, "")).code).toBe(3501);
  });

  const topics: [string, string, () => string, unknown][] = [
    ["a topic that its rule allows", "open:a", () => "", "subscribed"],
    ["a topic that no rule allows", "a", () => "", 103],
    ["a private topic without a token", "$a", () => "", 103],
    ["a private topic whose prefix is allowed", "$open:a", () => "", 103],
    [
      "a private topic with a token",
      "$a",
      () => signed({ sub: "42", channel: "$a" }),
      "subscribed",
    ],
    ["any topic with a token", "a", () => signed({ sub: "42", channel: "a" }), "subscribed"],
    ["with a token for another topic", "$b", () => signed({ sub: "42", channel: "$a" }), 3500],
    ["with a token of another user", "$a", () => signed({ sub: "41", channel: "$a" }), 3500],
    [
      "with a token of another connection",
      "$a",
      () => signed({ sub: "42", channel: "$a", client: "x" }),
      3500,
    ],
    ["with a connection's token", "$a", () => signed({ sub: "42" }), 103],
    [
      "with an expired token",
      "$a",
      () => signed({ sub: "42", channel: "$a", exp: now() - 60 }),
      109,
    ],
    [
      "with a forged token",
      "$a",
      () => `${json({ alg: "none" })}.${json({ sub: "42", channel: "$a" })}.`,
      103,
    ],
    ["a topic that names its user", "chat#41,42", () => "", "subscribed"],
    ["a topic that names others", "chat#41,43", () => "", 103],
    ["a topic that names a part of its name", "chat#4", () => "", 103],
    ["a topic that names nobody", "chat#", () => "", 103],
    ["a topic whose last list counts", "chat#42#41", () => "", 103],
    ["its personal topic", "#42", () => "", "subscribed"],
    ["another's personal topic", "#41", () => "", 103],
  ];
  test.each(topics)("user 42 subscribes to %s (%s)", async (_, topic, token, outcome) => {
    expect(await subscribe(relay, "42", topic, token())).toBe(outcome);
  });

  test("what no rule allows is refused: publishing, presence, history", async () => {
    const { client } = await connect(relay, signed({ sub: "42" }));
    client.send(
      `{"id":2,"publish":{"channel":"open:a","data":1}}\n{"id":3,"history":{"channel":"open:a"}}\n{"id":4,"presence":{"channel":"open:a"}}`,
    );
    const codes = (await client.take(3)).map((frame) => JSON.parse(frame).error.code);
    expect(codes).toEqual([103, 103, 108]);
    client.drop();
  });

  test("a refresh with another user's token ends the connection, with its own prolongs it", async () => {
    const { client } = await connect(relay, signed({ sub: "42", exp: now() + 60 }));
    client.send({ id: 2, refresh: { token: signed({ sub: "42", exp: now() + 600 }) } });
    expect(JSON.parse(await client.next()).refresh).toMatchObject({ expires: true });
    client.send({ id: 3, refresh: { token: signed({ sub: "41" }) } });
    expect((await client.closed).code).toBe(3500);
  });

  test("an expired refresh ends the connection with 3005", async () => {
    const { client } = await connect(relay, signed({ sub: "42" }));
    client.send({ id: 2, refresh: { token: signed({ sub: "42", exp: now() - 60 }) } });
    expect((await client.closed).code).toBe(3005);
  });
});

describe("I7: with an audience and an issuer", () => {
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
    ["whose audience is no text", { iss, aud: { baton: true } }],
    ["without an issuer", { aud: "baton" }],
    ["of another issuer", { iss: `${iss}.evil.example`, aud: "baton" }],
    ["of a list of issuers", { iss: [iss], aud: "baton" }],
  ])("a token %s is refused", async (_, claims) => {
    expect((await connect(relay, signed({ sub: "42", ...claims }))).code).toBe(3500);
  });

  test.each<[string, object]>([
    ["for it alone", { iss, aud: "baton" }],
    ["for it and others", { iss, aud: ["shop", "baton"] }],
  ])("a token %s is taken", async (_, claims) => {
    const { first, client } = await connect(relay, signed({ sub: "42", ...claims }));
    expect(first.connect).toBeDefined();
    client.drop();
  });
});

describe("what the marks of a topic say holds for all that clients do", () => {
  let relay: TestRelay;
  beforeAll(async () => {
    const all = ["client", "anonymous"];
    const rule = {
      allow_subscribe: all,
      allow_publish: all,
      allow_history: all,
      allow_presence: all,
    };
    relay = await startRelay({
      BATON_TOKEN_SECRET: SECRET,
      BATON_ANONYMOUS: "1",
      BATON_TOPICS_FILE: topicsFile({ "": { ...rule, presence: true } }),
    });
  });
  afterAll(() => relay[Symbol.asyncDispose]());

  const outcomes = async (token: string, channel: string, first: object[] = []) => {
    const { client } = await connect(relay, token);
    const commands = [
      ...first,
      { publish: { channel, data: 1 } },
      { history: { channel, limit: 1 } },
      { presence: { channel } },
      { presence_stats: { channel } },
    ];
    const lines = commands.map((command, i) => JSON.stringify({ id: i + 2, ...command }));
    client.send(lines.join("\n"));
    const codes: unknown[] = [];
    while (codes.length < commands.length) {
      const reply = JSON.parse(await client.next());
      if (reply.id !== undefined) codes.push(reply.error?.code ?? "done");
    }
    client.drop();
    return codes;
  };
  const allowed = Array(4).fill("done");
  const denied = Array(4).fill(103);

  test.each([
    ["a topic of others", "chat#41,43"],
    ["another's personal topic", "#41"],
    ["a private topic", "$orders"],
    ["a private topic that names it", "$orders#42"],
  ])("user 42 can do nothing with %s, whatever its rule allows", async (_, topic) => {
    expect(await outcomes(signed({ sub: "42" }), topic)).toEqual(denied);
  });

  test.each([["#"], ["chat#"], ["chat#,42"], ["$orders"]])(
    "the anonymous user can do nothing with %s",
    async (topic) => {
      expect(await outcomes("", topic)).toEqual(denied);
    },
  );

  test("those it is for can, by their name or by a token", async () => {
    expect(await outcomes(signed({ sub: "42" }), "chat#41,42")).toEqual(allowed);
    expect(await outcomes(signed({ sub: "42" }), "#42")).toEqual(allowed);
    const token = signed({ sub: "42", channel: "$orders" });
    const subscribe = { subscribe: { channel: "$orders", token } };
    const codes = await outcomes(signed({ sub: "42" }), "$orders", [subscribe]);
    expect(codes).toEqual(["done", ...allowed]);
  });
});

test("a user whose name would make its personal topic others' too, or no topic, has none", async () => {
  await using relay = await startRelay({ BATON_TOKEN_SECRET: SECRET, BATON_PERSONAL_TOPICS: "1" });
  const topicsOf = async (sub: string) => {
    const { first, client } = await connect(relay, signed({ sub }));
    client.drop();
    return Object.keys(first.connect.subs ?? {});
  };
  expect(await topicsOf("42")).toEqual(["#42"]);
  expect(await topicsOf("$a b")).toEqual(["#$a b"]);
  for (const user of ["", "42,43", "a#b", "#", ",", "a\nb", "💥".repeat(128)]) {
    expect(await topicsOf(user), user).toEqual([]);
  }
});

describe("with a public key", () => {
  const pairs = { RS256: rsa, ES256: ec, EdDSA: ed };
  for (const [alg, pair] of Object.entries(pairs)) {
    test(`I7: ${alg} is taken, and the public key is no secret to sign with`, async () => {
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
        const text = `${json({ alg: "HS256" })}.${json({ sub: "42" })}`;
        const confused = `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
        expect((await connect(relay, confused)).code).toBe(3500);
      }
    });
  }
});

test("I8: keys of an address are fetched, but not for each unknown name", async () => {
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

test("with API keys alone, clients need BATON_ANONYMOUS, and then what rules allow them", async () => {
  const BATON_API_KEYS = "a-long-enough-key";
  await using closed = await startRelay({ BATON_API_KEYS });
  expect((await connect(closed, "")).code).toBe(3501);
  expect((await connect(closed, signed({ sub: "42" }))).code).toBe(3500);
  await using relay = await startRelay({
    BATON_API_KEYS,
    BATON_ANONYMOUS: "1",
    BATON_TOPICS_FILE: topicsFile({
      "all:": { allow_subscribe: ["client", "anonymous"] },
      "known:": { allow_subscribe: ["client"] },
    }),
  });
  const { client } = await connect(relay, "");
  const of = async (id: number, command: object) => {
    client.send({ id, ...command });
    return JSON.parse(await client.next());
  };
  expect((await of(2, { subscribe: { channel: "all:a" } })).subscribe).toBeDefined();
  expect((await of(3, { subscribe: { channel: "known:a" } })).error.code).toBe(103);
  expect((await of(4, { publish: { channel: "all:a", data: 1 } })).error.code).toBe(103);
  expect((await of(5, { subscribe: { channel: "#" } })).error.code).toBe(103);
  client.drop();
});
