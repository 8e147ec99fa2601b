// What the keys of VAPID (RFC 8292) look like, and whether two of them are a pair.
import { createECDH } from "node:crypto";

/** An uncompressed point of P-256 (RFC 8292, section 3.2): 65 bytes, of which the first is 4. */
const PUBLIC_BYTES = 65;

const PRIVATE_BYTES = 32;

export function isPublicKey(text: string): boolean {
  const bytes = bytesOf(text);
  return bytes?.length === PUBLIC_BYTES && bytes[0] === 4;
}

export function isPrivateKey(text: string): boolean {
  return bytesOf(text)?.length === PRIVATE_BYTES;
}

/** RFC 8292, section 2.1: a way to reach the sender. */
export function isSubject(text: string): boolean {
  return /^mailto:[^\s@]+@[^\s@]+$/.test(text) || /^https:\/\/[^\s/]+/.test(text);
}

/** Whether the public key belongs to the private one. */
export function isPair(publicKey: string, privateKey: string): boolean {
  const curve = createECDH("prime256v1");
  try {
    curve.setPrivateKey(Buffer.from(privateKey, "base64url"));
  } catch {
    // A number that is no key of this curve.
    return false;
  }
  return curve.getPublicKey("base64url") === publicKey;
}

/** The bytes of base64url without padding; undefined for any other text. */
function bytesOf(text: string): Buffer | undefined {
  if (!/^[\w-]+$/.test(text)) return undefined;
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}
