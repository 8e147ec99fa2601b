// The address of a key set, when it is down, slow, or answers what it should not. Row I8 of the fault catalogue.
import { afterAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { exportJWK, type JWTVerifyGetKey, SignJWT } from "jose";
import { keysAt } from "../../../src/edge/access/jwks";
import { createLog } from "../../../src/log";
import { KeysUnavailable } from "../../../src/relay/contracts/tokens";
import { Client } from "../../support/clients/client";
import { startRelay } from "../../support/relay/test-relay";
import { within } from "../../support/wait";

const old = generateKeyPairSync("rsa", { modulusLength: 2048 });
const young = generateKeyPairSync("rsa", { modulusLength: 2048 });
const jwk = async ({ publicKey }: typeof old, kid: string) => ({
  ...(await exportJWK(publicKey)),
  kid,
});
const oldSet = { keys: [await jwk(old, "old")] };

/** A key address that answers as the test says, and counts its requests. */
class Address implements Disposable {
  asked = 0;
  answer = (): Response => Response.json(oldSet);
  readonly #server = Bun.serve({
    port: 0,
    fetch: () => {
      this.asked++;
      return this.answer();
    },
  });

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/keys`;
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }
}

const lines: string[] = [];
const log = createLog("info", { write: (line) => void lines.push(line) });

/** Whether there is a key of this name, or else the name of the error. */
const ask = async (keys: JWTVerifyGetKey, kid: string): Promise<string> => {
  try {
    await keys({ alg: "RS256", kid }, { payload: "", signature: "" });
    return "found";
  } catch (error) {
    return error instanceof KeysUnavailable ? "unavailable" : (error as Error).name;
  }
};

describe("I8: a key address that", () => {
  const endless = () =>
    new ReadableStream({
      pull: (controller) => controller.enqueue(new Uint8Array(65_536).fill(32)),
    });
  test.each<[string, (own: string) => Response]>([
    ["answers with an error", () => new Response("no", { status: 500 })],
    ["answers with a page", () => new Response("<html>")],
    ["answers without keys", () => Response.json({})],
    ["answers with invalid keys", () => Response.json({ keys: [null, 1] })],
    ["redirects", (own) => Response.redirect(`${own}/elsewhere`)],
    ["answers without end", () => new Response(endless())],
  ])("%s is asked once and not for each token, and is asked again later", async (_, answer) => {
    using address = new Address();
    address.answer = () => answer(address.url);
    let now = 0;
    const keys = keysAt(address.url, log, () => now);
    const first = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(keys, `key ${i}`)));
    for (let i = 0; i < 20; i++) first.push(await ask(keys, `key ${i}`));
    expect(new Set(first)).toEqual(new Set(["unavailable"]));
    expect(address.asked).toBe(1);
    expect(lines.join("")).toContain("could not be fetched");
    address.answer = () => Response.json(oldSet);
    now = 2_000;
    expect(await ask(keys, "old")).toBe("found");
    expect(address.asked).toBe(2);
  });

  test("has an unreadable key fails only the tokens that name that key", async () => {
    using address = new Address();
    const broken = { kty: "RSA", kid: "broken", n: "!", e: "AQAB" };
    const good = await jwk(old, "old");
    address.answer = () => Response.json({ keys: [broken, good] });
    const keys = keysAt(address.url, log);
    expect([await ask(keys, "broken"), await ask(keys, "old")]).toEqual(["JWKSInvalid", "found"]);
  });
});

test("I8: unknown key names cause at most one request in ten seconds, and that finds new keys", async () => {
  using address = new Address();
  let now = 0;
  const keys = keysAt(address.url, log, () => now);
  expect(await ask(keys, "old")).toBe("found");
  const rotated = [await jwk(old, "old"), await jwk(young, "young")];
  address.answer = () => Response.json({ keys: rotated });
  for (const kid of ["young", "../../x", "__proto__", "http://127.0.0.1/", ""]) {
    expect(await ask(keys, kid)).toBe("JWKSNoMatchingKey");
  }
  expect(address.asked).toBe(1);
  now = 10_000;
  expect(await ask(keys, "young")).toBe("found");
  expect(await ask(keys, "young")).toBe("found");
  expect(address.asked).toBe(2);
});

test("while keys change, a token that is newer than the key set fails only for now", async () => {
  using address = new Address();
  let now = 0;
  const keys = keysAt(address.url, log, () => now);
  const issued = (iat: number) => ({
    payload: Buffer.from(JSON.stringify({ iat })).toString("base64url"),
    signature: "",
  });
  const ask = (kid: string, iat: number) =>
    Promise.try(keys, { alg: "RS256", kid }, issued(iat)).then(
      () => "found",
      (error) => (error instanceof KeysUnavailable ? "unavailable" : error.name),
    );
  const seconds = Date.now() / 1_000;
  expect(await ask("old", seconds)).toBe("found");
  const rotated = [await jwk(old, "old"), await jwk(young, "young")];
  address.answer = () => Response.json({ keys: rotated });
  expect(await ask("young", seconds + 2)).toBe("unavailable");
  expect(await ask("young", seconds - 60)).toBe("JWKSNoMatchingKey");
  now = 10_000;
  expect(await ask("young", seconds + 2)).toBe("found");
});

test("a key that was removed from the key address is refused ten minutes later", async () => {
  using address = new Address();
  let now = 0;
  const keys = keysAt(address.url, log, () => now);
  expect(await ask(keys, "old")).toBe("found");
  const rest = [await jwk(young, "young")];
  address.answer = () => Response.json({ keys: rest });
  now = 600_000;
  expect(await ask(keys, "old")).toBe("JWKSNoMatchingKey");
  expect(await ask(keys, "young")).toBe("found");
});

test("keys stay valid for an hour while the key address is down, and no longer", async () => {
  using address = new Address();
  let now = 0;
  const keys = keysAt(address.url, log, () => now);
  expect(await ask(keys, "old")).toBe("found");
  address.answer = () => new Response("no", { status: 503 });
  now = 4_000_000;
  expect(await ask(keys, "old")).toBe("found");
  now = 4_200_000;
  expect(await ask(keys, "old")).toBe("unavailable");
});

test("a client whose token cannot be checked now gets a temporary error", async () => {
  using address = new Address();
  address.answer = () => new Response("no", { status: 500 });
  await using relay = await startRelay({ BATON_TOKEN_JWKS_URL: address.url });
  const header = { alg: "RS256", kid: "old" };
  const token = await new SignJWT({ sub: "42" }).setProtectedHeader(header).sign(old.privateKey);
  const client = await Client.open(`${relay.url.replace("http", "ws")}/connection/websocket`);
  client.send({ id: 1, connect: { token } });
  const reply = JSON.parse(await within("a reply", client.next()));
  expect(reply).toMatchObject({ id: 1, error: { code: 100, temporary: true } });
  client.drop();
});

afterAll(() => lines.splice(0));
