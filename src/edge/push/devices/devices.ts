// The devices of users: what a browser says of where and how it can be pushed to (RFC 8030, RFC 8291). They are kept in the engine's
// store, encrypted, until they expire or are gone. A device has one user: whoever registers it last.
import { hash } from "node:crypto";
import { type Log, throttledLog } from "../../../log";
import { Refusal } from "../../../relay/contracts/errors";
import type { Records } from "../../../relay/contracts/store";
import type { DeviceCipher } from "./device-cipher";
import { type Addresses, endpointOf, obstacleOf } from "./endpoint";

/** What `PushSubscription.toJSON()` gives (Push API, section 8). */
export interface Subscription {
  readonly endpoint: string;
  readonly keys: { readonly p256dh: string; readonly auth: string };
  /** In ms of Unix time. */
  readonly expirationTime?: number | null | undefined;
}

export interface Device extends Subscription {
  /** Made of its endpoint: registered again, it is the same device. */
  readonly id: string;
  /** When it was first registered for its user, and until when it is kept; in ms of Unix time. */
  readonly since: number;
  readonly expires: number;
}

interface DevicesOptions {
  readonly records: Records;
  readonly cipher: DeviceCipher;
  readonly userDevicesMax: number;
  readonly deviceTtlMs: number;
  readonly addresses: Addresses;
  readonly now: () => number;
  readonly log: Log;
}

/** Enough of a hash that nobody finds two endpoints with one. */
const ID_CHARACTERS = 22;

/** RFC 8291, section 3.1 and 3.2: an uncompressed point of P-256, and 16 bytes. */
const POINT_BYTES = 65;
const AUTH_BYTES = 16;

/** Whatever is kept of a device is one small record in a set of its user, and one that says who that is. May reject with EngineUnavailable. */
export class Devices {
  readonly #options: DevicesOptions;
  readonly #logUnreadable: (error: unknown) => void;

  constructor(options: DevicesOptions) {
    this.#options = options;
    this.#logUnreadable = throttledLog(
      options.log,
      "a device cannot be read: BATON_DEVICES_KEY no longer has its secret",
    );
  }

  /**
   * Keeps a device, or keeps it for longer. Refuses `invalid_device`, `too_many_devices`. Its endpoint is looked up, unless
   * private addresses are allowed.
   */
  async register(user: string, subscription: Subscription): Promise<Device | Refusal> {
    const { now, deviceTtlMs, addresses } = this.#options;
    const endpoint = endpointOf(subscription.endpoint, addresses);
    if (endpoint instanceof Refusal) return endpoint;
    const expires = Math.min(now() + deviceTtlMs, subscription.expirationTime ?? Infinity);
    if (expires <= now()) return invalid("The device's expirationTime has passed.");
    const refusal = (await checkKeys(subscription.keys)) ?? (await obstacleOf(endpoint, addresses));
    if (refusal !== undefined) return refusal;
    const id = deviceId(subscription.endpoint);
    const known = await this.one(user, id);
    const { p256dh, auth } = subscription.keys;
    const device: Device = {
      id,
      endpoint: subscription.endpoint,
      keys: { p256dh, auth },
      since: known?.since ?? now(),
      expires,
    };
    const outcome = await this.#keep(user, device);
    if (outcome === "full") return this.#tooMany();
    await this.#own(user, device);
    return device;
  }

  /** The devices of a user that can be read, in the order in which they came. Cost: the user's devices. */
  async of(user: string): Promise<readonly Device[]> {
    const found: Device[] = [];
    for (const { name, value } of await this.#options.records.list(setOf(user))) {
      const device = await this.#opened(user, name, value);
      if (device !== undefined) found.push(device);
    }
    return found;
  }

  /** Forgets a device; false when the user has none with this id. */
  async remove(user: string, id: string): Promise<boolean> {
    const { records } = this.#options;
    const was = await records.remove(setOf(user), id);
    if (was && (await this.#ownerOf(id)) === user) await records.remove(ownerSetOf(id), OWNER);
    return was;
  }

  async #keep(user: string, device: Device): Promise<undefined | "full"> {
    const { records, userDevicesMax, now } = this.#options;
    const { id, ...rest } = device;
    const value = await this.#options.cipher.seal(JSON.stringify(rest), placeOf(user, id));
    const ttlMs = Math.max(1, device.expires - now());
    return records.put(setOf(user), id, value, { ttlMs, max: userDevicesMax });
  }

  /** A browser that another user has signed in at must not show what is for the one before. */
  async #own(user: string, { id, expires }: Device): Promise<void> {
    const { records, now } = this.#options;
    const before = await this.#ownerOf(id);
    if (before !== undefined && before !== user) await records.remove(setOf(before), id);
    const value = await this.#options.cipher.seal(user, ownerSetOf(id));
    await records.put(ownerSetOf(id), OWNER, value, {
      ttlMs: Math.max(1, expires - now()),
      max: 1,
    });
  }

  async #ownerOf(id: string): Promise<string | undefined> {
    const value = await this.#options.records.get(ownerSetOf(id), OWNER);
    return value === undefined
      ? undefined
      : (await this.#options.cipher.open(value, ownerSetOf(id)))?.text;
  }

  /** A device of a user; undefined where it has none with this id that can be read. */
  async one(user: string, id: string): Promise<Device | undefined> {
    const value = await this.#options.records.get(setOf(user), id);
    return value === undefined ? undefined : this.#opened(user, id, value);
  }

  async #opened(user: string, id: string, value: string): Promise<Device | undefined> {
    const opened = await this.#options.cipher.open(value, placeOf(user, id));
    if (opened === undefined) {
      this.#logUnreadable(new Error(`device ${id}`));
      return undefined;
    }
    const device: Device = { id, ...JSON.parse(opened.text) };
    // Once all devices have been read, the older secrets can go.
    if (!opened.isCurrent) await this.#keep(user, device);
    return device;
  }

  #tooMany(): Refusal {
    return new Refusal(
      "too_many_devices",
      `The user has ${this.#options.userDevicesMax} devices, which is the most allowed (BATON_USER_DEVICES_MAX), or the store is full (BATON_STORE_BYTES). DELETE one first.`,
    );
  }
}

const OWNER = "user";

function setOf(user: string): string {
  return `devices:${user}`;
}

function ownerSetOf(id: string): string {
  return `device:${id}`;
}

function placeOf(user: string, id: string): string {
  return `${setOf(user)}/${id}`;
}

function deviceId(endpoint: string): string {
  return hash("sha256", endpoint, "base64url").slice(0, ID_CHARACTERS);
}

/** Refuses (`invalid_device`) keys that nothing could be encrypted with. */
async function checkKeys({ p256dh, auth }: Subscription["keys"]): Promise<Refusal | undefined> {
  const point = bytesOf(p256dh);
  if (bytesOf(auth)?.length !== AUTH_BYTES) {
    return invalid(
      "keys.auth must be 16 bytes in base64url, as PushSubscription.toJSON() gives it.",
    );
  }
  const wrong = () =>
    invalid(
      "keys.p256dh must be a point of P-256 in base64url, as PushSubscription.toJSON() gives it.",
    );
  if (point?.length !== POINT_BYTES) return wrong();
  try {
    await crypto.subtle.importKey("raw", point, { name: "ECDH", namedCurve: "P-256" }, true, []);
    return undefined;
  } catch {
    return wrong();
  }
}

/** Undefined for a text that is not base64url. */
function bytesOf(text: string): Uint8Array<ArrayBuffer> | undefined {
  return /^[\w-]+={0,2}$/.test(text) ? new Uint8Array(Buffer.from(text, "base64url")) : undefined;
}

function invalid(sentence: string): Refusal {
  return new Refusal("invalid_device", sentence);
}
