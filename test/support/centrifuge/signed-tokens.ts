// Tokens signed by hand, so that their claims and headers may be as wrong as an attacker would make them, and clients that
// connect with them.
import { createHmac } from "node:crypto";
import { Client } from "../clients/client";
import type { TestRelay } from "../relay/test-relay";
import { within } from "../wait";
import { SECRET } from "./sdk";

/** A token of the relay's own secret. */
export function signed(claims: object, header: object = {}): string {
  return signedText(
    JSON.stringify(claims),
    JSON.stringify({ alg: "HS256", typ: "JWT", ...header }),
  );
}

/** A token with claims and a header exactly as they are given. */
export function signedText(
  claims: string,
  header = '{"alg":"HS256"}',
  key: string | Buffer = SECRET,
) {
  const text = `${base64url(header)}.${base64url(claims)}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

export function base64url(text: string): string {
  return Buffer.from(text).toString("base64url");
}

/** What a Centrifuge client with this token is answered to each of these commands: "done", or the code of the error. */
export async function outcomes(
  relay: TestRelay,
  token: string,
  commands: readonly object[],
): Promise<unknown[]> {
  const { client } = await connect(relay, token);
  client.send(commands.map((one, i) => JSON.stringify({ id: i + 2, ...one })).join("\n"));
  const codes: unknown[] = [];
  while (codes.length < commands.length) {
    const reply = JSON.parse(await client.next());
    if (reply.id !== undefined) codes.push(reply.error?.code ?? "done");
  }
  client.drop();
  return codes;
}

/** Connects with a token. `first` is the first reply or the close, and `code` the code of that close. */
export async function connect(relay: TestRelay, token: string) {
  const client = await Client.open(`${relay.url.replace("http", "ws")}/connection/websocket`);
  client.send({ id: 1, connect: { token } });
  const reply = client.next().then((frame) => JSON.parse(frame));
  const first = await within("an answer", Promise.race([reply, client.closed]));
  return { client, first, code: first.code as number | undefined };
}
