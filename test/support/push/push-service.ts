// A push service of the tests' own (RFC 8030): it gives out subscriptions, takes pushes as the services of browsers do, decrypts each with
// the keys of its device, and answers as it is told to.
import { createDecipheriv, createECDH, createHmac, type ECDH, randomBytes } from "node:crypto";
import { createLocalJWKSet, jwtVerify } from "jose";
import type { Subscription } from "../../../src/edge/push/devices/devices";
import { until } from "../wait";

/** What a device gets. */
interface TakenPush {
  readonly device: string;
  readonly headers: Headers;
  /** What the page's service worker is given. */
  readonly data: {
    readonly title: string;
    readonly body?: string;
    readonly url?: string;
    readonly topic: string;
  };
  /** The claims of the token that has signed the request. */
  readonly claims: Readonly<Record<string, unknown>>;
  readonly key: string;
  /** As it came, and the keys to decrypt it with, in base64url. */
  readonly sealed: { readonly body: string; readonly private: string; readonly auth: string };
}

interface PushAnswer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

interface DeviceKeys {
  readonly ecdh: ECDH;
  readonly auth: Buffer;
}

interface PushServiceOptions {
  /** With it, the service speaks TLS. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly port?: number;
}

export class PushService implements AsyncDisposable {
  readonly pushes: TakenPush[] = [];
  /** Requests that could not be read as pushes. */
  readonly invalid: string[] = [];
  requests = 0;
  /** What it answers; 201 to all at first. */
  answer: (device: string) => PushAnswer | Promise<PushAnswer> = () => ({ status: 201 });
  readonly #keys = new Map<string, DeviceKeys>();
  readonly #server: ReturnType<typeof Bun.serve>;

  constructor({ tls, port = 0 }: PushServiceOptions = {}) {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port,
      ...(tls && { tls }),
      fetch: (request) => this.#take(request),
    });
  }

  get origin(): string {
    const { protocol, port } = this.#server.url;
    return `${protocol}//127.0.0.1:${port}`;
  }

  get port(): number {
    return Number(this.#server.url.port);
  }

  /** What `PushSubscription.toJSON()` gives on a device of this name. */
  subscription(device: string): Subscription {
    const ecdh = createECDH("prime256v1");
    const p256dh = ecdh.generateKeys("base64url");
    const auth = randomBytes(16);
    this.#keys.set(device, { ecdh, auth });
    const keys = { p256dh, auth: auth.toString("base64url") };
    return { endpoint: `${this.origin}/push/${device}`, expirationTime: null, keys };
  }

  /** Resolves with the pushes of a device when it has so many. */
  async taken(device: string, count = 1): Promise<readonly TakenPush[]> {
    const own = () => this.pushes.filter((push) => push.device === device);
    await until(`${count} pushes for ${device}`, () => own().length >= count);
    return own();
  }

  async #take(request: Request): Promise<Response> {
    this.requests++;
    const device = new URL(request.url).pathname.replace("/push/", "");
    const body = Buffer.from(await request.arrayBuffer());
    const { status, headers = {}, body: text = "" } = await this.answer(device);
    if (status === 201) {
      try {
        await this.#keep(device, request.headers, body);
      } catch (error) {
        this.invalid.push(String(error));
        return new Response("", { status: 400 });
      }
    }
    return new Response(text, { status, headers });
  }

  async #keep(device: string, headers: Headers, body: Buffer): Promise<void> {
    const keys = this.#keys.get(device);
    if (keys === undefined) throw new Error(`no device ${device}`);
    if (headers.get("content-encoding") !== "aes128gcm") throw new Error("another encoding");
    const { claims, key } = await this.#verified(headers.get("authorization") ?? "");
    const data = JSON.parse(decrypted(body, keys));
    const sealed = {
      body: body.toString("base64url"),
      private: keys.ecdh.getPrivateKey("base64url"),
      auth: keys.auth.toString("base64url"),
    };
    this.pushes.push({ device, headers, data, claims, key, sealed });
  }

  /** RFC 8292, section 3: a token that the key beside it has signed, for this origin. */
  async #verified(authorization: string) {
    const [, token = "", key = ""] = /^vapid t=([^,]+), *k=(.+)$/.exec(authorization) ?? [];
    const point = Buffer.from(key, "base64url");
    const [x, y] = [point.subarray(1, 33), point.subarray(33)];
    const jwk = { kty: "EC", crv: "P-256", x: x.toString("base64url"), y: y.toString("base64url") };
    const keys = createLocalJWKSet({ keys: [jwk] });
    const { payload } = await jwtVerify(token, keys, {
      audience: this.origin,
      algorithms: ["ES256"],
    });
    return { claims: payload, key };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

/** RFC 8291, section 3, and RFC 8188, section 2, written for the tests: one record. */
function decrypted(body: Buffer, { ecdh, auth }: DeviceKeys): string {
  const salt = body.subarray(0, 16);
  const recordSize = body.readUInt32BE(16);
  const idLength = body.readUInt8(20);
  const sender = body.subarray(21, 21 + idLength);
  const record = body.subarray(21 + idLength);
  if (record.length > recordSize) throw new Error("more than one record");
  if (body.length > 4_096) throw new Error(`${body.length} bytes, which services may refuse`);
  const hmac = (key: Buffer, ...parts: (Buffer | string)[]) => {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(part);
    return mac.digest();
  };
  const shared = hmac(auth, ecdh.computeSecret(sender));
  const ikm = hmac(shared, "WebPush: info\0", ecdh.getPublicKey(), sender, "\x01");
  const prk = hmac(salt, ikm);
  const key = hmac(prk, "Content-Encoding: aes128gcm\0\x01").subarray(0, 16);
  const nonce = hmac(prk, "Content-Encoding: nonce\0\x01").subarray(0, 12);
  const decipher = createDecipheriv("aes-128-gcm", key, nonce);
  decipher.setAuthTag(record.subarray(-16));
  const padded = Buffer.concat([decipher.update(record.subarray(0, -16)), decipher.final()]);
  const end = padded.lastIndexOf(2);
  return padded.subarray(0, end).toString("utf8");
}
