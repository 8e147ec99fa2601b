// Which headers the backend is sent: those that the settings give it, and of those that a client sends only the ones that the settings
// name. A header of the request counts more than what a client's program gives in its place, since proxies in front of the relay can
// set or remove headers, and cannot see into what a client says later.
import type { PassedHeaders } from "../../../relay/contracts/backend/questions";

export interface HeaderSettings {
  /** In lower case, as the next two. */
  readonly proxyHeaders: readonly string[];
  readonly proxyEmulatedHeaders: readonly string[];
  readonly proxyStaticHeaders: Readonly<Record<string, string>>;
}

/** What a client's program can give in all of them, as much as real headers may have: every connection keeps it. */
const EMULATED_CHARACTERS_MAX = 16_384;

/** Control characters and what is outside Latin-1 are no header (RFC 9110, section 5.5). */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Those of a client's request that are passed on; undefined where there are none, since every connection keeps them. */
export function passedHeaders(
  headers: Headers,
  { proxyHeaders }: HeaderSettings,
): PassedHeaders | undefined {
  let passed: Record<string, string> | undefined;
  for (const name of proxyHeaders) {
    const value = headers.get(name);
    if (value === null) continue;
    passed ??= {};
    passed[name] = value;
  }
  return passed;
}

/** Those of what a client's program gives in place of headers that are passed on; undefined where there are none. */
export function emulatedHeaders(
  given: Readonly<Record<string, string>> | undefined,
  { proxyEmulatedHeaders }: HeaderSettings,
): PassedHeaders | undefined {
  if (given === undefined || proxyEmulatedHeaders.length === 0) return undefined;
  const passed: Record<string, string> = {};
  let room = EMULATED_CHARACTERS_MAX;
  for (const [written, value] of Object.entries(given)) {
    const name = written.toLowerCase();
    if (!proxyEmulatedHeaders.includes(name) || !VALUE.test(value)) continue;
    room -= value.length;
    if (room >= 0) passed[name] = value.trim();
  }
  return passed;
}

/** All that the backend is sent for a client, by names in lower case. */
export function sentHeaders(
  passed: PassedHeaders | undefined,
  emulated: PassedHeaders | undefined,
  { proxyStaticHeaders }: HeaderSettings,
): Record<string, string> {
  return { ...proxyStaticHeaders, ...emulated, ...passed };
}
