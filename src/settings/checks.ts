// What settings must be in combination, and which of them depend on what the machine allows.
import type { Settings, SettingValues } from "./definitions";
import { expiryWarning } from "./files/tls";
import { checkProxy } from "./hooks/proxy";
import { SettingError } from "./kinds";
import { checkLimits, limitWarnings } from "./limits";
import { checkPush } from "./push/checks";
import { needsTokens } from "./tokens";

/** As long as the hash of HS256 (RFC 7518, 3.2): a shorter secret can be guessed offline from a single token. */
const SECRET_BYTES_MIN = 32;

const KEY_CHARACTERS_MIN = 16;

/** Files that are kept free: below this, HTTP requests and the runtime itself would have no descriptors left. */
function descriptorReserve(limit: number): number {
  return Math.max(100, Math.ceil(limit * 0.05));
}

/**
 * How many connections there may be over all workers, and in each: as many as are wanted, or as the descriptors allow.
 * Throws SettingError with the line to show.
 */
export function connectionLimits(
  wanted: number,
  descriptors: number,
  workers: number,
): { connectionsMax: number; processConnectionsMax: number } {
  const each = Math.max(1, descriptors - descriptorReserve(descriptors));
  const possible = workers * each;
  const connectionsMax = wanted === 0 ? possible : wanted;
  if (connectionsMax <= possible) {
    return { connectionsMax, processConnectionsMax: Math.min(each, connectionsMax) };
  }
  const who = workers === 1 ? "the process" : `each of ${workers} workers`;
  throw new SettingError(
    `BATON_CONNECTIONS_MAX="${wanted}" is not allowed: ${who} may open ${descriptors} files, which leaves ${possible} for connections. Raise that limit (ulimit -n) or lower the setting.`,
  );
}

/** Throws SettingError with the line to show. */
export function checkTogether(settings: Settings): void {
  const { host, apiKeys, insecure, tokenSecret } = settings;
  if (!isLoopback(host) && apiKeys.length === 0 && !insecure) {
    throw new SettingError(
      `HOST=${JSON.stringify(host)} is not allowed without an API key: anyone who reaches that address could publish. Set BATON_API_KEYS to a long random key (openssl rand -hex 32), or BATON_INSECURE=1 if something else protects the relay.`,
    );
  }
  const secretBytes = Buffer.byteLength(tokenSecret);
  if (tokenSecret !== "" && secretBytes < SECRET_BYTES_MIN && !isLoopback(host) && !insecure) {
    throw new SettingError(
      `BATON_TOKEN_SECRET has ${secretBytes} bytes, which is not allowed with HOST=${JSON.stringify(host)}: it must have at least ${SECRET_BYTES_MIN} (openssl rand -hex 32).`,
    );
  }
  if (settings.http2 && settings.certificate === undefined) {
    throw new SettingError(
      "BATON_HTTP2=1 needs BATON_TLS_CERT and BATON_TLS_KEY: browsers speak HTTP/2 over TLS only.",
    );
  }
  if (settings.pusherWebhooks.length > 0 && settings.pusherApps.length === 0) {
    throw new SettingError(
      "BATON_PUSHER_WEBHOOKS needs BATON_PUSHER_APPS: webhooks are signed with the secret of an app.",
    );
  }
  checkProxy(settings);
  checkPush(settings);
  checkLimits(settings);
}

/** Sentences for the log about what is allowed but may be unwise. */
export function warnings(settings: Settings): string[] {
  const { host, apiKeys, origins, tokenSecret } = settings;
  const { pusherApps, proxyConnect } = settings;
  const found: string[] = [];
  if (apiKeys.length === 0) {
    if (settings.commandKey !== "") {
      found.push(
        "BATON_API_KEY is only what the commands of baton send: the relay asks nobody for a key, because BATON_API_KEYS is not set",
      );
    }
    if (!isLoopback(host)) {
      found.push("BATON_INSECURE=1: anyone who reaches this address can publish");
    } else if (needsTokens(settings)) {
      found.push(
        "clients need tokens, but without BATON_API_KEYS anyone who reaches this address (through a proxy, for example) can publish and read",
      );
    } else if (proxyConnect !== "") {
      found.push(
        "the backend is asked who a client is, but without BATON_API_KEYS anyone who reaches this address (through a proxy, for example) can publish and read",
      );
    } else if (pusherApps.length > 0) {
      found.push(
        "requests of Pusher backends are signed, but without BATON_API_KEYS anyone who reaches this address (through a proxy, for example) can publish and read on the relay's own routes",
      );
    }
  }
  if (apiKeys.some(({ key }) => key.length < KEY_CHARACTERS_MIN)) {
    found.push(
      `an API key has fewer than ${KEY_CHARACTERS_MIN} characters, so it is easy to guess`,
    );
  }
  if (tokenSecret !== "" && Buffer.byteLength(tokenSecret) < SECRET_BYTES_MIN) {
    found.push(
      `BATON_TOKEN_SECRET has fewer than ${SECRET_BYTES_MIN} bytes, so it is easy to guess`,
    );
  }
  if (pusherApps.some(({ secret }) => secret.length < KEY_CHARACTERS_MIN)) {
    found.push(
      `the secret of a Pusher app has fewer than ${KEY_CHARACTERS_MIN} characters, so it is easy to guess from a single signature`,
    );
  }
  if (origins.includes("null")) {
    found.push(
      "BATON_ORIGINS has null, which pages of any site can send from a sandboxed frame, so it keeps few of them out",
    );
  }
  if (settings.sources.length > 0 && settings.engine === "memory") {
    found.push(
      "BATON_SOURCES_FILE with BATON_ENGINE=memory: the positions of sources are lost with the process, so that records which it had not acknowledged are published twice",
    );
  }
  const expiry = settings.certificate && expiryWarning(settings.certificate);
  if (expiry !== undefined) found.push(expiry);
  return [...found, ...limitWarnings(settings)];
}

/** Whether the page /console is there: with keys, or where nobody else reaches it. */
export function hasConsole({
  console,
  apiKeys,
  host,
}: Pick<SettingValues, "console" | "apiKeys" | "host">): boolean {
  return console === "on" && (apiKeys.length > 0 || isLoopback(host));
}

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
