// `baton token`: signs a token for a Centrifuge client with the secret of the settings.
import { Refusal } from "../../relay/contracts/errors";
import { checkTopic, toUser } from "../../relay/text/checks";
import type { Settings } from "../../settings/definitions";
import { CommandFailure, EXIT } from "../failure";
import { print } from "../output";

const UNIT_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

export interface TokenFlags {
  readonly user: string;
  readonly topic?: string;
  readonly ttl: string;
  readonly json?: true;
}

/** Throws CommandFailure. */
export async function token(settings: Settings, flags: TokenFlags): Promise<void> {
  const { tokenSecret, tokenAudience, tokenIssuer } = settings;
  const { user, topic } = flags;
  // An empty one, as a variable of a shell that is not set, would make a token for anybody.
  const refused = toUser(user);
  if (refused instanceof Refusal) throw misused("--user", refused);
  const refusedTopic = topic === undefined ? undefined : checkTopic(topic);
  if (refusedTopic !== undefined) throw misused("--topic", refusedTopic);
  if (tokenSecret === "") {
    throw new CommandFailure(
      "There is no secret to sign with: set BATON_TOKEN_SECRET as it is set for the relay. (Tokens of a key pair are signed by whoever has the private key.)",
      EXIT.misused,
    );
  }
  // No other command needs it.
  const { SignJWT } = await import("jose");
  const expires = Math.floor(Date.now() / 1_000) + secondsOf(flags.ttl);
  const claims = topic === undefined ? {} : { channel: topic };
  const unsigned = new SignJWT(claims)
    .setProtectedHeader({ alg: "HS256" })
    .setSubject(user)
    .setExpirationTime(expires);
  if (tokenAudience !== "") unsigned.setAudience(tokenAudience);
  if (tokenIssuer !== "") unsigned.setIssuer(tokenIssuer);
  const signed = await unsigned.sign(new TextEncoder().encode(tokenSecret));
  print(flags.json ? JSON.stringify({ token: signed, expires_at: expires }) : signed);
}

function misused(flag: string, { message }: Refusal): CommandFailure {
  return new CommandFailure(`${flag}: ${message}`, EXIT.misused);
}

/** Throws CommandFailure. */
function secondsOf(ttl: string): number {
  const [, number = "", unit = ""] = /^(\d{1,6})([smhd])$/.exec(ttl) ?? [];
  const seconds = Number(number) * (UNIT_S[unit] ?? 0);
  if (seconds > 0) return seconds;
  throw new CommandFailure(
    "--ttl must be a number with its unit: 30s, 10m, 1h or 7d.",
    EXIT.misused,
  );
}
