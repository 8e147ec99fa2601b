// Clients' tokens: JSON Web Tokens (RFC 7519), which jose verifies with the keys that the settings name and with no
// others. What a token's own header says about keys is ignored, and each kind of key accepts only its own algorithms.
import { errors, importSPKI, type JWTPayload, jwtVerify } from "jose";
import type { Log } from "../../log";
import { Refusal } from "../../relay/contracts/errors";
import type {
  ConnectionClaims,
  TokenProblem,
  TokenVerifier,
  TopicClaims,
} from "../../relay/contracts/tokens";
import { checkTopic, toUser } from "../../relay/text/checks";
import { memberNames } from "../../relay/text/json";
import { keysAt } from "./jwks";

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

type Verify = (token: string) => Promise<JWTPayload>;

/** Undefined when no key is set: the relay is then open to clients. Throws when a public key cannot be read. */
export async function tokenVerifier(
  settings: TokenSettings,
  log: Log,
): Promise<TokenVerifier | undefined> {
  const verifiers = await verifiersOf(settings, log);
  if (verifiers.length === 0) return undefined;
  const verify = async (token: string): Promise<JWTPayload | TokenProblem> => {
    if (token.length > TOKEN_CHARACTERS_MAX) return "invalid";
    for (const attempt of verifiers) {
      try {
        const claims = await attempt(token);
        return repeatsNames(token) ? "invalid" : claims;
      } catch (error) {
        if (isUntimely(error)) return "expired";
        if (!(error instanceof errors.JOSEError)) throw error;
      }
    }
    return "invalid";
  };
  return {
    async connection(token) {
      const claims = await verify(token);
      return typeof claims === "string" ? claims : connectionClaims(claims);
    },
    async topic(token) {
      const claims = await verify(token);
      return typeof claims === "string" ? claims : topicClaims(claims);
    },
  };
}

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

function connectionClaims(claims: JWTPayload): ConnectionClaims | TokenProblem {
  // A topic's token does not open a connection.
  if (claims.channel !== undefined) return "invalid";
  const { sub = "" } = claims;
  if (typeof sub !== "string" || !isUser(sub)) return "invalid";
  const topics = topicsOf(claims);
  if (topics === "invalid") return topics;
  for (const name of topics.keys()) if (checkTopic(name) !== undefined) return "invalid";
  const ttl = ttlOf(claims);
  if (typeof ttl === "string") return ttl;
  return { user: sub, ttl, info: jsonOf(claims.info, claims.b64info), topics };
}

/** The topics that the relay subscribes the client to: `subs` with their info and data, or `channels`, their names alone. */
function topicsOf({ channels, subs }: JWTPayload): ConnectionClaims["topics"] | "invalid" {
  const topics = new Map<string, { info?: string; data?: string }>();
  if (isObject(subs)) {
    for (const [name, subscription] of Object.entries(subs)) {
      if (!isObject(subscription)) return "invalid";
      const info = jsonOf(subscription.info, subscription.b64info);
      const data = jsonOf(subscription.data, subscription.b64data);
      topics.set(name, {
        ...(info !== undefined && { info }),
        ...(data !== undefined && { data }),
      });
    }
  } else if (isGiven(subs) || (isGiven(channels) && !Array.isArray(channels))) {
    return "invalid";
  } else if (Array.isArray(channels)) {
    for (const name of channels) {
      if (typeof name !== "string") return "invalid";
      topics.set(name, {});
    }
  }
  return topics;
}

function topicClaims(claims: JWTPayload): TopicClaims | TokenProblem {
  const { sub = "", channel, client } = claims;
  if (typeof channel !== "string" || channel === "") return "invalid";
  if (typeof sub !== "string" || (client !== undefined && typeof client !== "string")) {
    return "invalid";
  }
  const ttl = ttlOf(claims);
  if (typeof ttl === "string") return ttl;
  return {
    user: sub,
    topic: channel,
    client: client === "" ? undefined : (client as string | undefined),
    ttl,
    info: jsonOf(claims.info, claims.b64info),
    data: jsonOf(claims.data, claims.b64data),
  };
}

/** Whether the name is a user that POST /register accepts, or "" for an anonymous client. */
function isUser(name: string): boolean {
  return name === "" || !(toUser(name) instanceof Refusal);
}

/** Seconds until the token ends, or undefined when it does not. `expire_at` takes precedence over `exp`; 0 means never. */
function ttlOf({ exp, expire_at }: JWTPayload): number | undefined | TokenProblem {
  const at = isGiven(expire_at) ? expire_at : exp;
  if (at === undefined || at === 0) return undefined;
  if (typeof at !== "number" || !Number.isFinite(at)) return "invalid";
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
