// A backend of the Pusher protocol: the library for Node, and requests that are signed by hand, as no library would.
import { createHash, createHmac } from "node:crypto";
import Pusher from "pusher";
import { APP } from "./app";

/** The library for Node, for the app and the relay at this address. */
export function backendOf(url: string, app = APP): Pusher {
  const { hostname, port } = new URL(url);
  return new Pusher({
    appId: app.id,
    key: app.key,
    secret: app.secret,
    host: hostname,
    port,
    useTLS: false,
  });
}

export interface SignedCall {
  readonly method?: string;
  readonly path?: string;
  readonly body?: string;
  /** Parameters besides those that every request has, or in their place. */
  readonly query?: Readonly<Record<string, string>>;
  readonly app?: typeof APP;
  /** Unix seconds. */
  readonly at?: number;
}

/** The path and query of a signed request. */
export function signedPath({
  method = "POST",
  path = `/apps/${APP.id}/events`,
  body = "",
  query = {},
  app = APP,
  at = Math.floor(Date.now() / 1_000),
}: SignedCall): string {
  const all: Record<string, string> = {
    auth_key: app.key,
    auth_timestamp: String(at),
    auth_version: "1.0",
    ...(body !== "" && { body_md5: createHash("md5").update(body).digest("hex") }),
    ...query,
  };
  const names = Object.keys(all).sort();
  const text = [method, path, names.map((name) => `${name}=${all[name]}`).join("&")].join("\n");
  const signature = createHmac("sha256", app.secret).update(text).digest("hex");
  const encoded = names.map((name) => `${name}=${encodeURIComponent(all[name] as string)}`);
  return `${path}?${encoded.join("&")}&auth_signature=${signature}`;
}

interface CallAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of any shape
  readonly json: any;
}

/** Sends a signed request. `sent` replaces what is sent after the signature was made. */
export async function call(
  url: string,
  request: SignedCall,
  sent: { readonly path?: string; readonly body?: string } = {},
): Promise<CallAnswer> {
  const { method = "POST", body } = request;
  const response = await fetch(url + (sent.path ?? signedPath(request)), {
    method,
    ...(method === "POST" && {
      body: sent.body ?? body ?? "",
      headers: { "content-type": "application/json" },
    }),
  });
  return { status: response.status, json: await response.json() };
}
