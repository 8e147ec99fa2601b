// The connection of a source to NATS.
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
} from "@nats-io/transport-node";
import { certificatesOf } from "../tls";
import { asksForTls, type NatsOptions } from "./options";

const CONNECT_TIMEOUT_MS = 5_000;
const PING_MS = 10_000;

/** Rejects with an Error that says why no server can be reached, or that it refuses, without a secret. */
export async function connected(options: NatsOptions, source: string): Promise<NatsConnection> {
  const { servers, user, password, token } = options;
  const tls = certificatesOf(options);
  const authenticator = authenticatorOf(options);
  try {
    return await connect({
      servers: [...servers],
      name: `Baton: ${source}`,
      // Whoever runs the reader opens another, which knows where to begin.
      reconnect: false,
      timeout: CONNECT_TIMEOUT_MS,
      pingInterval: PING_MS,
      ...(user !== undefined && { user, pass: password ?? "" }),
      ...(token !== undefined && { token }),
      ...(authenticator !== undefined && { authenticator }),
      // The client takes no notice of tls:// and would send a password in plain text where a server offers no TLS.
      ...(asksForTls(options) && { tls: tls ?? {} }),
    });
  } catch (error) {
    const { message, cause } = error as Error;
    throw new Error(cause instanceof Error ? `${message}: ${cause.message}` : message);
  }
}

function authenticatorOf({ credentials, nkey }: NatsOptions): Authenticator | undefined {
  const bytes = (text: string) => new TextEncoder().encode(text);
  if (nkey !== undefined) return nkeyAuthenticator(bytes(nkey.trim()));
  if (credentials === undefined) return undefined;
  // The client finds nothing in such a file without its last end of a line, or with those of Windows.
  return credsAuthenticator(bytes(`${credentials.replaceAll("\r", "")}\n`));
}
