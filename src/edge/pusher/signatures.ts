// The signatures of the Pusher protocol: HMAC-SHA256 with the secret of an app, in hex. A backend signs its requests, and what its
// clients may do. Nothing that was signed may be read in another way than it was meant: where two readings have the same text, both
// are refused.
import { timingSafeEqual } from "node:crypto";
import { pathOf, searchOf } from "../access/address";
import { decoded } from "../http/query";

/** What an app is known by. */
interface SigningApp {
  readonly key: string;
  readonly secret: string;
}

/** How far the clock of a backend may differ; a captured request can be sent again for as long. */
const CLOCK_SKEW_S = 600;

const VERSION = "1.0";

const HEX_SHA256 = /^[\da-f]{64}$/;

/** The query of a request by lower-case names, decoded, with what signs it. */
export type SignedQuery = ReadonlyMap<string, string>;

/** The parameters of a URL, or the reason why nobody can have signed them, as a sentence. */
export function signedQuery(url: string): SignedQuery | string {
  const found = new Map<string, string>();
  const search = searchOf(url);
  const isPlain = !ENCODED.test(search);
  for (const pair of search.split("&")) {
    if (pair === "") continue;
    const end = pair.indexOf("=");
    const given = end < 0 ? pair : pair.slice(0, end);
    const name = isPlain ? given : decoded(given)?.toLowerCase();
    const value = isPlain ? pair.slice(given.length + 1) : decoded(pair.slice(given.length + 1));
    if (name === undefined || value === undefined) {
      return "The query is not percent-encoded UTF-8 (RFC 3986, section 2.5).";
    }
    // In the text that is signed, this could be the name of another parameter, or the end of the query.
    if (!NAME.test(name) || value.includes("&") || value.includes("\n")) {
      return "The query has a parameter that cannot be signed: names have letters, digits and _ only, and values no & and no line break.";
    }
    if (found.has(name)) return `The query has ${name} twice.`;
    found.set(name, value);
  }
  return found;
}

/** What most queries lack: it has to be decoded, or be written in small letters. */
const ENCODED = /[%+A-Z]/;

const NAME = /^\w{1,64}$/;

interface SignedRequest {
  readonly method: string;
  readonly url: string;
  readonly query: SignedQuery;
}

/**
 * Why a request does not count as signed by this app at this time (Unix seconds), as a sentence; undefined when it does. What is signed
 * of its body is `body_md5`, so that nobody reads one for a request without a signature: see bodyProblem.
 */
export function requestProblem(
  { key, secret }: SigningApp,
  { method, url, query }: SignedRequest,
  nowS: number,
): string | undefined {
  if (query.get("auth_key") !== key) return "auth_key is not the key of this app.";
  if (query.get("auth_version") !== VERSION) return `auth_version must be ${VERSION}.`;
  const timestamp = query.get("auth_timestamp") ?? "";
  if (!/^\d{1,12}$/.test(timestamp)) return "auth_timestamp must be the time in seconds.";
  if (Math.abs(nowS - Number(timestamp)) > CLOCK_SKEW_S) {
    return `auth_timestamp is more than ${CLOCK_SKEW_S} s from the relay's clock: set the clock of the backend, and sign each request anew.`;
  }
  const signature = query.get("auth_signature") ?? "";
  const isSigned = pathForms(url).some((path) =>
    isSignature(secret, `${method}\n${path}\n${signedText(query)}`, signature),
  );
  return isSigned
    ? undefined
    : "auth_signature is not that of this request: it must be made of the method, the path and all parameters as they are sent, with the secret of this app.";
}

/** Why this is not the body of a request whose query is signed, as a sentence; undefined when it is. */
export function bodyProblem(query: SignedQuery, body: Uint8Array): string | undefined {
  const digest = query.get("body_md5");
  if (digest === undefined) {
    return body.length > 0 ? "body_md5, the MD5 of the body in hex, is missing." : undefined;
  }
  return isMd5(digest, body) ? undefined : "body_md5 is not the MD5 of the body.";
}

/** Some libraries sign the path as they send it, and some before they encode it. */
function pathForms(url: string): readonly string[] {
  const path = pathOf(url);
  if (!path.includes("%")) return [path];
  // guard.ts has checked that it can be decoded.
  const plain = decodeURIComponent(path);
  // A line break would let a part of the path pass for the query.
  return plain.includes("\n") ? [path] : [path, plain];
}

/** Values count as they were before encoding, because libraries encode them differently, and in the order of their names. */
function signedText(query: SignedQuery): string {
  const pairs: string[] = [];
  for (const name of [...query.keys()].sort()) {
    if (name !== "auth_signature") pairs.push(`${name}=${query.get(name)}`);
  }
  return pairs.join("&");
}

function isMd5(given: string, body: Uint8Array): boolean {
  return given === Bun.MD5.hash(body, "hex");
}

/** What a backend signs so that a client may subscribe; undefined where the name could pass for another one with data. */
export function channelText(
  socketId: string,
  channel: string,
  channelData?: string,
): string | undefined {
  if (channel.includes(":")) return undefined;
  const data = channelData === undefined ? "" : `:${channelData}`;
  return `${socketId}:${channel}${data}`;
}

/** What a backend signs so that a client is this user. */
export function userText(socketId: string, userData: string): string {
  return `${socketId}::user::${userData}`;
}

/** Whether `auth`, as the client sends it (`key:signature`), is this app's for a text. In constant time. */
export function isAuthorized(
  { key, secret }: SigningApp,
  text: string | undefined,
  auth: string,
): boolean {
  if (text === undefined || !auth.startsWith(`${key}:`)) return false;
  return isSignature(secret, text, auth.slice(key.length + 1));
}

/** In constant time: otherwise a signature could be guessed letter by letter. */
function isSignature(secret: string, text: string, given: string): boolean {
  if (!HEX_SHA256.test(given)) return false;
  return timingSafeEqual(Buffer.from(given), Buffer.from(sign(secret, text)));
}

/** The signature of a text, in hex. Bun's own hashes take a third of the time of those of node:crypto. */
export function sign(secret: string, text: string | Uint8Array): string {
  return new Bun.CryptoHasher("sha256", secret).update(text).digest("hex");
}
