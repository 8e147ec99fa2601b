// Which Content-Types and Content-Encodings a JSON body may have. A body without a type is refused too: a page may send one
// without asking, as it may send a form or plain text, while a JSON type makes its browser ask first (CORS).
import { Refusal } from "../../relay/contracts/errors";

/** A type and subtype, and the parameters that may follow (RFC 9110, section 8.3.1). */
const MEDIA_TYPE = /^([!#$%&'*+.^\w`|~-]+\/[!#$%&'*+.^\w`|~-]+)[ \t]*(?:;(.*))?$/;

/** What the MIME Sniffing standard calls a JSON MIME type (section 4.6). */
const JSON_TYPE = /^(?:application\/json|text\/json|[^/]+\/[^/]+\+json)$/i;

/** The parameter, whose value may be quoted. */
const CHARSET = /(?:^|;)[ \t]*charset[ \t]*=[ \t]*"?([^";, \t]+)/i;

/**
 * Lines of JSON. None of these is registered: the first is what most programs send, as Elasticsearch asks for it, and the others
 * are what the pages that describe the format name.
 */
const LINES_TYPE = /^application\/(?:x-ndjson|ndjson|jsonl|jsonlines)$/i;

const NOT_ENCODED = ["identity", ""];

/** The longest header that is looked at. */
const CHARACTERS_MAX = 1_000;

/**
 * Refuses (`unsupported_media_type`) a body that is not declared as JSON. Parameters mean nothing there (RFC 8259, section
 * 11), but a charset that is another encoding than UTF-8 says that the bytes would be read wrongly.
 */
export function checkJsonType(header: string | null): Refusal | undefined {
  // Most requests send exactly this, which is cheaper to compare than to match.
  if (header === "application/json") return undefined;
  const { type, parameters } = partsOf(header);
  if (!JSON_TYPE.test(type)) {
    return new Refusal(
      "unsupported_media_type",
      "The body must be JSON in UTF-8: send the header Content-Type: application/json.",
    );
  }
  return checkCharset(parameters);
}

/** Whether a body is declared as lines of JSON. A charset other than UTF-8 is refused (`unsupported_media_type`). */
export function isLines(header: string | null): boolean | Refusal {
  if (header === null || header === "application/json") return false;
  const { type, parameters } = partsOf(header);
  return LINES_TYPE.test(type) ? (checkCharset(parameters) ?? true) : false;
}

function partsOf(header: string | null): { type: string; parameters: string } {
  const given = once((header ?? "").slice(0, CHARACTERS_MAX));
  const [, type = "", parameters = ""] = MEDIA_TYPE.exec(given) ?? [];
  return { type, parameters };
}

function checkCharset(parameters: string): Refusal | undefined {
  const charset = CHARSET.exec(parameters)?.[1];
  if (charset === undefined || !isOtherEncoding(charset)) return undefined;
  return new Refusal(
    "unsupported_media_type",
    "The Content-Type names a charset other than UTF-8. JSON is sent in UTF-8: leave the charset out.",
  );
}

/** Refuses (`unsupported_media_type`) a compressed body. `identity` and an empty list say that it is not compressed. */
export function checkNotEncoded(header: string | null): Refusal | undefined {
  if (header === null) return undefined;
  const codings = header.toLowerCase().split(",");
  if (codings.every((coding) => NOT_ENCODED.includes(coding.trim()))) return undefined;
  return new Refusal(
    "unsupported_media_type",
    "The body must not be compressed (Content-Encoding).",
  );
}

/** Whether a body is declared as bytes of no particular type (RFC 2046, section 4.5.1). */
export function isBinaryType(header: string | null): boolean {
  const [, type = ""] = MEDIA_TYPE.exec(once((header ?? "").slice(0, CHARACTERS_MAX))) ?? [];
  return type.toLowerCase() === "application/octet-stream";
}

/** A header that was sent several times with the same value arrives joined by ", "; it counts as sent once. */
function once(header: string): string {
  const [first = "", ...more] = header.split(", ");
  return more.every((value) => value === first) ? first : header;
}

/** Whether a charset is an encoding whose bytes are not UTF-8. An unknown name is not; ASCII is a part of UTF-8. */
function isOtherEncoding(charset: string): boolean {
  if (/^(?:us-)?ascii$/i.test(charset)) return false;
  try {
    return new TextDecoder(charset as Bun.Encoding).encoding !== "utf-8";
  } catch {
    // Bun knows no decoder of UTF-32, and no standard requires one.
    return /^(?:utf-?32|ucs-?[24])/i.test(charset);
  }
}
