// `baton vapid`: makes the pair of keys by which push services know a relay (RFC 8292).
import { print } from "../output";

export interface VapidFlags {
  readonly json?: true;
}

export async function vapid(flags: VapidFlags): Promise<void> {
  const { publicKey, privateKey } = await crypto.subtle.generateKey(
    { name: "ECDSA", namedCurve: "P-256" },
    true,
    ["sign"],
  );
  const point = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
  const { d = "" } = await crypto.subtle.exportKey("jwk", privateKey);
  const pair = { public_key: Buffer.from(point).toString("base64url"), private_key: d };
  if (flags.json) {
    print(JSON.stringify(pair));
    return;
  }
  print(`BATON_VAPID_PUBLIC_KEY=${pair.public_key}`);
  print(`BATON_VAPID_PRIVATE_KEY=${pair.private_key}`);
}
