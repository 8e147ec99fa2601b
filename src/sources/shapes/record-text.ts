// A record as mappings see it: its body as text and as JSON, and what is known of it besides. The JSON is parsed once, and only if it is needed.
import { Refusal } from "../../relay/contracts/errors";
import { parseJson, rawMember, withoutByteOrderMark } from "../../relay/text/json";
import type { InboundRecord } from "../contract";
import { BODY, type Template } from "./template";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

export class RecordText {
  readonly #record: InboundRecord;
  /** The body. */
  readonly text: string;
  #value: unknown;
  #isParsed = false;

  private constructor(record: InboundRecord, text: string) {
    this.#record = record;
    this.text = text;
  }

  /** Refuses (`message_too_large`, `malformed_json`) a body that is too large, or is not UTF-8. */
  static of(record: InboundRecord, bytesMax: number): RecordText | Refusal {
    const { body, size = 0 } = record;
    const bytes = Math.max(size, body?.length ?? 0);
    if (bytes > bytesMax || body === undefined) {
      const most = `The body of a record must have at most ${bytesMax} bytes (BATON_BODY_BYTES)`;
      return new Refusal("message_too_large", `${most}; this one has ${bytes}.`);
    }
    if (typeof body === "string") return new RecordText(record, withoutByteOrderMark(body));
    try {
      return new RecordText(record, withoutByteOrderMark(utf8.decode(body)));
    } catch {
      return new Refusal("malformed_json", "The body of the record is not UTF-8.");
    }
  }

  /** The body as JSON. Refuses `malformed_json`. */
  json(): Refusal | undefined {
    if (this.#isParsed) return undefined;
    try {
      this.#value = parseJson(this.text);
      this.#isParsed = true;
      return undefined;
    } catch (error) {
      const { message } = error as Error;
      return new Refusal("malformed_json", `The body of the record is not JSON: ${message}.`);
    }
  }

  /** The parsed body, after `json`. */
  get value(): unknown {
    return this.#value;
  }

  /** The JSON text of a value in the body, with its bytes; undefined where there is none. */
  raw(path: readonly string[]): string | undefined {
    return this.#at(path) === undefined ? undefined : rawMember(this.text, ...path);
  }

  /** What the template makes of the record; a Refusal (`invalid_body`) where a place has no text or number. */
  fill(field: string, template: Template): string | Refusal {
    let text = "";
    for (const part of template) {
      if (typeof part === "string") {
        text += part;
        continue;
      }
      const { path, attribute = "" } = part;
      const found = path === undefined ? this.attribute(attribute) : this.#textAt(path);
      if (found === undefined) {
        const place = path === undefined ? `@${attribute}` : path.join(".");
        return new Refusal(
          "invalid_body",
          `The mapping of ${field} needs a text or number at {${place}}, and the record has none.`,
        );
      }
      text += found;
    }
    return text;
  }

  attribute(name: string): string | undefined {
    if (name === BODY) return this.text;
    const { attributes } = this.#record;
    return attributes !== undefined && Object.hasOwn(attributes, name)
      ? attributes[name]
      : undefined;
  }

  /** A number stands there as in the body, since JSON.parse rounds large ones. */
  #textAt(path: readonly string[]): string | undefined {
    const value = this.#at(path);
    if (typeof value === "string") return value;
    if (typeof value === "boolean" || Number.isSafeInteger(value)) return String(value);
    return typeof value === "number" ? rawMember(this.text, ...path) : undefined;
  }

  #at(path: readonly string[]): unknown {
    let value: unknown = this.#value;
    for (const name of path) {
      // Not into arrays, whose items have no names.
      if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
      if (!Object.hasOwn(value, name)) return undefined;
      value = (value as Record<string, unknown>)[name];
    }
    return value;
  }
}
