// The settings of clients' tokens, and of clients without one. They are a part of those of config.ts.
import { flag, text } from "./kinds";

export const TOKEN_SETTINGS = {
  tokenSecret: text(
    "BATON_TOKEN_SECRET",
    "Secret of clients' tokens that are signed with HS256, HS384 or HS512: at least 32 bytes, but for a relay that only this machine can reach.",
    "a text of 1 to 4096 characters",
    (value) => value.length <= 4_096,
  ),
  tokenPublicKey: text(
    "BATON_TOKEN_PUBLIC_KEY",
    "Public key of clients' tokens that are signed with RS256, ES256 or EdDSA; line ends may be written as \\n.",
    "a public key in PEM (SPKI)",
    (value) => value.startsWith("-----BEGIN PUBLIC KEY-----"),
  ),
  tokenJwksUrl: text(
    "BATON_TOKEN_JWKS_URL",
    "Where the public keys of clients' tokens are published, as a JWK Set.",
    "an http:// or https:// address",
    (value) => URL.canParse(value) && /^https?:$/.test(new URL(value).protocol),
  ),
  tokenAudience: text(
    "BATON_TOKEN_AUDIENCE",
    "What the claim aud of a token must name: for keys that sign tokens for other services too. Not set: anything.",
    "a text of 1 to 4096 characters",
    (value) => value.length <= 4_096,
  ),
  tokenIssuer: text(
    "BATON_TOKEN_ISSUER",
    "What the claim iss of a token must be. Not set: anything.",
    "a text of 1 to 4096 characters",
    (value) => value.length <= 4_096,
  ),
  anonymous: flag(
    "BATON_ANONYMOUS",
    "1 lets Centrifuge clients without a token in, as the anonymous user.",
  ),
  personalTopics: flag(
    "BATON_PERSONAL_TOPICS",
    "1 gives each known user of a Centrifuge client the topic # and its name, from the start.",
  ),
} as const;
