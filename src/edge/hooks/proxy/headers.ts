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

/** What a client can have in one header, and what a request to the backend can carry. */
const VALUE_CHARACTERS_MAX = 8_192;

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

/** All that the backend is sent for a client, by names in lower case. */
export function sentHeaders(
  passed: PassedHeaders | undefined,
  emulated: Readonly<Record<string, string>> | undefined,
  { proxyEmulatedHeaders, proxyStaticHeaders }: HeaderSettings,
): Record<string, string> {
  const sent: Record<string, string> = { ...proxyStaticHeaders };
  if (emulated !== undefined && proxyEmulatedHeaders.length > 0) {
    for (const [given, value] of Object.entries(emulated)) {
      const name = given.toLowerCase();
      if (!proxyEmulatedHeaders.includes(name)) continue;
      if (value.length <= VALUE_CHARACTERS_MAX && VALUE.test(value)) sent[name] = value.trim();
    }
  }
  return Object.assign(sent, passed);
}
