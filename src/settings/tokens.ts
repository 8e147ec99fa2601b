// The settings about clients' tokens, of the table in definitions.ts.
import { flag, isWebUrl, text } from "./kinds";

/** Whether clients need a token: whether there is a key for one. */
export function needsTokens({
  tokenSecret,
  tokenPublicKey,
  tokenJwksUrl,
}: Readonly<Record<"tokenSecret" | "tokenPublicKey" | "tokenJwksUrl", string>>): boolean {
  return tokenSecret + tokenPublicKey + tokenJwksUrl !== "";
}

export const TOKENS = {
  tokenSecret: text({
    variable: "BATON_TOKEN_SECRET",
    secret: "text",
    allowed: "a text of 1 to 4096 characters",
    accepts: (value) => value.length <= 4_096,
    description:
      "The secret with which clients' tokens are signed (HS256, HS384 or HS512). It must have at least 32 bytes, unless the relay listens on loopback only.",
  }),
  tokenPublicKey: text({
    variable: "BATON_TOKEN_PUBLIC_KEY",
    secret: "text",
    allowed: "a public key in PEM (SPKI)",
    accepts: (value) => value.startsWith("-----BEGIN PUBLIC KEY-----"),
    description:
      "The public key for clients' tokens that are signed with RS256, ES256 or EdDSA. Line breaks may be written as \\n.",
  }),
  tokenJwksUrl: text({
    variable: "BATON_TOKEN_JWKS_URL",
    allowed: "an http:// or https:// address",
    accepts: isWebUrl,
    description: "The address of a JWK Set with the public keys for clients' tokens.",
  }),
  tokenAudience: text({
    variable: "BATON_TOKEN_AUDIENCE",
    allowed: "a text of 1 to 4096 characters",
    accepts: (value) => value.length <= 4_096,
    description:
      "What a token's aud claim must contain. Set it if the same key signs tokens for other services. If it is not set, any audience is accepted.",
  }),
  tokenIssuer: text({
    variable: "BATON_TOKEN_ISSUER",
    allowed: "a text of 1 to 4096 characters",
    accepts: (value) => value.length <= 4_096,
    description: "What a token's iss claim must be. If it is not set, any issuer is accepted.",
  }),
  anonymous: flag({
    variable: "BATON_ANONYMOUS",
    description: "1 lets Centrifuge clients connect without a token, as the anonymous user.",
  }),
  personalTopics: flag({
    variable: "BATON_PERSONAL_TOPICS",
    description:
      "1 subscribes every Centrifuge client of a known user to that user's personal topic (# and the user) when it connects.",
  }),
};
