// Encrypts what the store keeps of devices and of pushes that wait. The address of a device lets whoever has it find out which push
// service its user has, and with the keys of VAPID send to it: a copy of the store alone must give neither away.

/** Also derives, of the same secrets, the names of the keys: a name says nothing about its key. */
const CONTEXT = "baton push records 1";

/** NIST SP 800-38D, 8.2.2: of random bits, 96 of them are enough for 2^32 texts under one key. */
const NONCE_BYTES = 12;

const NAME_BYTES = 6;

/** In front of a text that is not encrypted. */
const PLAIN = "plain.";

const BASE64URL = { alphabet: "base64url", omitPadding: true } as const;

interface StoreKey {
  readonly name: string;
  readonly key: CryptoKey;
}

/** What was decrypted, and whether with the newest key. */
interface Opened {
  readonly text: string;
  readonly isCurrent: boolean;
}

export class DeviceCipher {
  readonly #keys: Promise<readonly StoreKey[]>;

  /** The first secret encrypts, all of them decrypt. Without any, nothing is encrypted: no device is kept then. */
  constructor(secrets: readonly string[]) {
    this.#keys = Promise.all(secrets.map(storeKey));
    // Whoever uses the keys is told; without anybody, a failure must not end the process.
    this.#keys.catch(() => {});
  }

  /** `place` is where the text is kept: it can be decrypted for the same place only. */
  async seal(text: string, place: string): Promise<string> {
    const [first] = await this.#keys;
    if (first === undefined) return PLAIN + text;
    const iv = crypto.getRandomValues(new Uint8Array(NONCE_BYTES));
    const sealed = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv, additionalData: utf8(place) },
      first.key,
      utf8(text),
    );
    return `${first.name}.${iv.toBase64(BASE64URL)}.${new Uint8Array(sealed).toBase64(BASE64URL)}`;
  }

  /** Undefined for what none of the keys has encrypted for this place. */
  async open(sealed: string, place: string): Promise<Opened | undefined> {
    const keys = await this.#keys;
    if (keys.length === 0 && sealed.startsWith(PLAIN)) {
      return { text: sealed.slice(PLAIN.length), isCurrent: true };
    }
    const [name, iv = "", bytes = ""] = sealed.split(".");
    const at = keys.findIndex((one) => one.name === name);
    const found = keys[at];
    if (found === undefined) return undefined;
    try {
      const opened = await crypto.subtle.decrypt(
        { name: "AES-GCM", iv: Uint8Array.fromBase64(iv, BASE64URL), additionalData: utf8(place) },
        found.key,
        Uint8Array.fromBase64(bytes, BASE64URL),
      );
      return { text: new TextDecoder().decode(opened), isCurrent: at === 0 };
    } catch {
      return undefined;
    }
  }
}

/** HKDF (RFC 5869): the secrets have enough entropy, so they need no slow function. */
async function storeKey(secret: string): Promise<StoreKey> {
  const base = await crypto.subtle.importKey("raw", utf8(secret), "HKDF", false, [
    "deriveKey",
    "deriveBits",
  ]);
  const derivation = (info: string) => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(0),
    info: utf8(`${CONTEXT} ${info}`),
  });
  const aes = { name: "AES-GCM", length: 256 };
  const [key, name] = await Promise.all([
    crypto.subtle.deriveKey(derivation("key"), base, aes, false, ["encrypt", "decrypt"]),
    crypto.subtle.deriveBits(derivation("name"), base, 8 * NAME_BYTES),
  ]);
  return { key, name: new Uint8Array(name).toBase64(BASE64URL) };
}

function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
}
