// Clients' tokens: JSON Web Tokens (RFC 7519), which jose verifies with the keys that the settings name and with no
// others. What a token's own header says about keys is ignored, and each kind of key accepts only its own algorithms.
import { errors, importSPKI, type JWTPayload, jwtVerify } from "jose";
import type { Log } from "../../log";
import { Refusal } from "../../relay/contracts/errors";
import type {
  ConnectionClaims,
  TokenProblem,
  TokenTopic,
  TokenVerifier,
  TopicClaims,
} from "../../relay/contracts/tokens";
import { checkTopic, toUser } from "../../relay/text/checks";
import { memberNames } from "../../relay/text/json";
import { keysAt } from "./jwks";
import { hiddenBy } from "./override";
import { TokenLog } from "./token-log";

interface TokenSettings {
  /** This and the next two are empty when there is no such key. */
  readonly tokenSecret: string;
  /** PEM (SPKI). */
  readonly tokenPublicKey: string;
  readonly tokenJwksUrl: string;
  /** What `aud` and `iss` of a token must be. Empty values are not checked. */
  readonly tokenAudience: string;
  readonly tokenIssuer: string;
}

const BY_SECRET = ["HS256", "HS384", "HS512"];
const BY_PUBLIC_KEY = ["RS256", "ES256", "EdDSA"];

/** How far the clocks of the issuer and the relay may differ. */
const CLOCK_SKEW_S = 5;

/** Longer tokens are refused without being read. */
const TOKEN_CHARACTERS_MAX = 16_384;

/** So many seconds from now, more than 300 years, `exp` is hardly meant in seconds: in milliseconds today is 56,000 years ahead. */
const TTL_DOUBTFUL_S = 1e10;

type Verify = (token: string) => Promise<JWTPayload>;

/** Why a token with a good signature says nothing that can be used: a fixed sentence. */
interface Unfit {
  readonly unfit: string;
}

const NO_TEXT: Unfit = { unfit: 'its sub or client is not a text: write "42", not 42' };

const NO_TOPICS: Unfit = {
  unfit: "its channels are not a list of topic names, or its subs not objects by topic names",
};

/** One of the keys must be set. Throws when a public key cannot be read. */
export async function tokenVerifier(settings: TokenSettings, log: Log): Promise<TokenVerifier> {
  const verifiers = await verifiersOf(settings, log);
  const tokenLog = new TokenLog(log);
  const check = async <Claims extends { ttl: number | undefined }>(
    token: string,
    read: (claims: JWTPayload) => Claims | "expired" | Unfit,
  ): Promise<Claims | TokenProblem> => {
    const claims = await verified(token, verifiers);
    const result = claims === "expired" || isUnfit(claims) ? claims : read(claims);
    if (result === "expired") return result;
    if (isUnfit(result)) {
      tokenLog.refused(result.unfit);
      return "invalid";
    }
    if ((result.ttl ?? 0) > TTL_DOUBTFUL_S) {
      tokenLog.doubtful("its exp is centuries ahead: it is in seconds, not in milliseconds");
    }
    return result;
  };
  return {
    connection: (token) => check(token, connectionClaims),
    topic: (token) => check(token, topicClaims),
  };
}

function isUnfit(value: object): value is Unfit {
  return Object.hasOwn(value, "unfit");
}

/** The claims of a token that one of the keys has signed. */
async function verified(
  token: string,
  verifiers: readonly Verify[],
): Promise<JWTPayload | "expired" | Unfit> {
  if (token.length > TOKEN_CHARACTERS_MAX) {
    return { unfit: `it has more than ${TOKEN_CHARACTERS_MAX} characters` };
  }
  let unfit = "it was signed with none of the relay's keys";
  for (const attempt of verifiers) {
    try {
      const claims = await attempt(token);
      return repeatsNames(token) ? { unfit: "it has a name twice" } : claims;
    } catch (error) {
      if (isUntimely(error)) return "expired";
      if (!(error instanceof errors.JOSEError)) throw error;
      unfit = causeOf(error) ?? unfit;
    }
  }
  return { unfit };
}

/** Undefined when all that is wrong is the key, since another one may fit. */
function causeOf(error: errors.JOSEError): string | undefined {
  if (error instanceof errors.JWTClaimValidationFailed) return CLAIM_CAUSES[error.claim];
  const isNoToken = error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid;
  return isNoToken ? "it is not a JSON Web Token (three parts, with dots between them)" : undefined;
}

const CLAIM_CAUSES: Readonly<Record<string, string>> = {
  aud: "its aud does not have BATON_TOKEN_AUDIENCE",
  iss: "its iss is not BATON_TOKEN_ISSUER",
  exp: "its exp is not a number of seconds",
  nbf: "its nbf is not a number of seconds",
  iat: "its iat is not a number of seconds",
};

async function verifiersOf(settings: TokenSettings, log: Log): Promise<Verify[]> {
  const verifiers: Verify[] = [];
  const { tokenAudience, tokenIssuer } = settings;
  const common = {
    clockTolerance: CLOCK_SKEW_S,
    ...(tokenAudience !== "" && { audience: tokenAudience }),
    ...(tokenIssuer !== "" && { issuer: tokenIssuer }),
  };
  if (settings.tokenSecret !== "") {
    const secret = new TextEncoder().encode(settings.tokenSecret);
    const options = { ...common, algorithms: BY_SECRET };
    verifiers.push(async (token) => (await jwtVerify(token, secret, options)).payload);
  }
  if (settings.tokenPublicKey !== "") {
    const { key, algorithm } = await publicKey(settings.tokenPublicKey);
    const options = { ...common, algorithms: [algorithm] };
    verifiers.push(async (token) => (await jwtVerify(token, key, options)).payload);
  }
  if (settings.tokenJwksUrl !== "") {
    const keys = keysAt(settings.tokenJwksUrl, log);
    const options = { ...common, algorithms: BY_PUBLIC_KEY };
    verifiers.push(async (token) => (await jwtVerify(token, keys, options)).payload);
  }
  return verifiers;
}

/** A key fits a single algorithm, and jose refuses to import it for another one. */
async function publicKey(pem: string) {
  for (const algorithm of BY_PUBLIC_KEY) {
    try {
      return { key: await importSPKI(pem, algorithm), algorithm };
    } catch {
      // It is a key of another kind.
    }
  }
  throw new Error(
    "BATON_TOKEN_PUBLIC_KEY is not an RSA, P-256 or Ed25519 public key in PEM (SPKI).",
  );
}

/** Whether the token has expired or is not valid yet. A claim that is not a time makes it invalid instead. */
function isUntimely(error: unknown): boolean {
  if (error instanceof errors.JWTExpired) return true;
  if (!(error instanceof errors.JWTClaimValidationFailed)) return false;
  return error.claim === "nbf" && error.reason === "check_failed";
}

/** Whether its header or claims have a name twice: two readers could then see two different tokens (RFC 7519, section 4). */
function repeatsNames(token: string): boolean {
  return token
    .split(".", 2)
    .map((part) => memberNames(Buffer.from(part, "base64url").toString("utf8")))
    .some((names) => new Set(names).size < names.length);
}

function connectionClaims(claims: JWTPayload): ConnectionClaims | "expired" | Unfit {
  if (claims.channel !== undefined) {
    return { unfit: "it has a channel: it is for a topic and does not open a connection" };
  }
  const { sub = "" } = claims;
  if (typeof sub !== "string") return NO_TEXT;
  if (!isUser(sub)) {
    return { unfit: "its sub has more than 128 characters, or control characters" };
  }
  const topics = topicsOf(claims);
  if (isUnfit(topics)) return topics;
  for (const name of topics.keys()) if (checkTopic(name) !== undefined) return NO_TOPICS;
  const ttl = ttlOf(claims);
  if (typeof ttl === "string" || typeof ttl === "object") return ttl;
  const info = jsonOf(claims.info, claims.b64info);
  return { user: sub, ttl, info, meta: jsonOf(claims.meta, undefined), topics };
}

/** The topics that the relay subscribes the client to: `subs` with their info and data, or `channels`, their names alone. */
function topicsOf({ channels, subs }: JWTPayload): ConnectionClaims["topics"] | Unfit {
  const topics = new Map<string, TokenTopic>();
  if (isObject(subs)) {
    for (const [name, subscription] of Object.entries(subs)) {
      if (!isObject(subscription)) return NO_TOPICS;
      const info = jsonOf(subscription.info, subscription.b64info);
      const data = jsonOf(subscription.data, subscription.b64data);
      topics.set(name, { info, data, hidden: hiddenBy(subscription.override) });
    }
  } else if (isGiven(subs) || (isGiven(channels) && !Array.isArray(channels))) {
    return NO_TOPICS;
  } else if (Array.isArray(channels)) {
    for (const name of channels) {
      if (typeof name !== "string") return NO_TOPICS;
      topics.set(name, {});
    }
  }
  return topics;
}

function topicClaims(claims: JWTPayload): TopicClaims | "expired" | Unfit {
  const { sub = "", channel, client } = claims;
  if (typeof channel !== "string" || channel === "") {
    return { unfit: "it is for a topic, but its channel is not the name of one" };
  }
  if (typeof sub !== "string" || (client !== undefined && typeof client !== "string")) {
    return NO_TEXT;
  }
  const ttl = ttlOf(claims);
  if (typeof ttl === "string" || typeof ttl === "object") return ttl;
  return {
    user: sub,
    topic: channel,
    client: client === "" ? undefined : (client as string | undefined),
    ttl,
    info: jsonOf(claims.info, claims.b64info),
    data: jsonOf(claims.data, claims.b64data),
    hidden: hiddenBy(claims.override),
  };
}

/** Whether the name is a user that POST /register accepts, or "" for an anonymous client. */
function isUser(name: string): boolean {
  return name === "" || !(toUser(name) instanceof Refusal);
}

/** Seconds until the token ends, or undefined when it does not. `expire_at` takes precedence over `exp`; 0 means never. */
function ttlOf({ exp, expire_at }: JWTPayload): number | undefined | "expired" | Unfit {
  const at = isGiven(expire_at) ? expire_at : exp;
  if (at === undefined || at === 0) return undefined;
  if (typeof at !== "number" || !Number.isFinite(at)) {
    return { unfit: "its expire_at is not a number of seconds" };
  }
  const ttl = at - Date.now() / 1000;
  return ttl < -CLOCK_SKEW_S ? "expired" : Math.max(0, ttl);
}

/** JSON text of a claim, or of its base64 form when that is given. */
function jsonOf(value: unknown, base64: unknown): string | undefined {
  if (typeof base64 === "string" && base64 !== "") {
    const text = Buffer.from(base64, "base64").toString("utf8");
    try {
      JSON.parse(text);
      return text;
    } catch {
      return undefined;
    }
  }
  return value === undefined || value === null ? undefined : JSON.stringify(value);
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
