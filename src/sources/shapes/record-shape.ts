// What a record becomes: the publications that it asks for, by the mapping of its source or, without one, by the shape of its body.
import { type Static, Type } from "@sinclair/typebox";
import { Refusal } from "../../relay/contracts/errors";
import type { PublishCommand } from "../../relay/publishing/publisher";
import type { InboundRecord } from "../contract";
import { centrifugoShape, commonShape, isCentrifugo } from "./known-shapes";
import { RecordText } from "./record-text";
import { BODY, onlyPlace, readsBody, type Template, templateOf } from "./template";

const Text = (description: string) => Type.Optional(Type.String({ description }));

/** What `mapping` in BATON_SOURCES_FILE may have. */
export const MappingOptions = Type.Object(
  {
    topic: Type.String({ description: "A template, such as orders:{customer.id}." }),
    data: Text("A place alone, such as {after}: its JSON goes out with its bytes. {@body} is all."),
    message: Text("A template of text, in place of data."),
    user_id: Text("A template: only this user's connections get it."),
    event: Text("A template of the name of the event."),
    idempotency_key: Text("A template."),
  },
  { additionalProperties: false },
);

type MappingTexts = Static<typeof MappingOptions>;

const TEXTS = ["topic", "message", "user_id", "event", "idempotency_key"] as const;

interface MappingSetup {
  /** Undefined where the shape of the body says what it asks for. */
  readonly texts: MappingTexts | undefined;
  /** What becomes of records without a body. */
  readonly tombstones: "bury" | "skip";
  readonly kind: "body" | "row";
  readonly bodyBytesMax: number;
}

/** What is wrong with a mapping, as what follows "at /mapping"; undefined when nothing is. */
export function mappingProblem(texts: MappingTexts): string | undefined {
  for (const [field, text] of Object.entries(texts)) {
    const template = templateOf(text);
    if (typeof template === "string") return `/${field} it ${template}`;
    if (field === "data" && onlyPlace(template) === undefined) {
      return "/data it must have one place alone, such as {payload} or {@body}";
    }
  }
  const hasBoth = (texts.data === undefined) === (texts.message === undefined);
  return hasBoth ? " it must have either data (JSON) or message (text)" : undefined;
}

export class RecordShape {
  readonly #setup: MappingSetup;
  readonly #templates: ReadonlyMap<keyof MappingTexts, Template>;
  readonly #needsJson: boolean;

  /** The texts have no `mappingProblem`. */
  constructor(setup: MappingSetup) {
    this.#setup = setup;
    this.#templates = new Map(
      Object.entries(setup.texts ?? {}).map(([field, text]) => [
        field as keyof MappingTexts,
        templateOf(text) as Template,
      ]),
    );
    this.#needsJson =
      setup.texts === undefined ||
      this.#templates.has("data") ||
      [...this.#templates.values()].some(readsBody);
  }

  /** What a record asks for: nothing where it has no body and is to be skipped. Its texts are not checked yet. Cost: the length of its body. */
  commandsOf(record: InboundRecord): readonly PublishCommand[] | Refusal {
    const { tombstones, bodyBytesMax, kind, texts } = this.#setup;
    if (record.body === undefined && record.size === undefined) {
      if (tombstones === "skip") return [];
      return new Refusal("invalid_body", "The record has no body (a tombstone).");
    }
    const text = RecordText.of(record, bodyBytesMax);
    if (text instanceof Refusal) return text;
    const refusal = this.#needsJson ? text.json() : undefined;
    if (refusal !== undefined) return refusal;
    if (texts === undefined && isCentrifugo(text.value)) return centrifugoShape(text);
    const command = texts === undefined ? commonShape(text, kind) : this.#filled(text);
    return command instanceof Refusal ? command : [command];
  }

  /** What a field names must be there: a message for one user must not go to all because its user is missing. */
  #filled(record: RecordText): PublishCommand | Refusal {
    const filled: { -readonly [Field in keyof PublishCommand]: PublishCommand[Field] } = {
      topic: "",
    };
    for (const field of TEXTS) {
      const template = this.#templates.get(field);
      if (template === undefined) continue;
      const text = record.fill(field, template);
      if (text instanceof Refusal) return text;
      filled[field] = text;
    }
    const template = this.#templates.get("data");
    if (template === undefined) return filled;
    const { path, attribute = "" } = onlyPlace(template) ?? {};
    const data = path === undefined ? this.#json(record, attribute) : record.raw(path);
    if (data === undefined) {
      const place = path?.join(".") ?? `@${attribute}`;
      return new Refusal("invalid_body", `The record has no data at {${place}}.`);
    }
    return { ...filled, data };
  }

  /** An attribute as JSON: the body, which was parsed already, or the text of another one. */
  #json(record: RecordText, attribute: string): string | undefined {
    const text = record.attribute(attribute);
    if (text === undefined || attribute === BODY) return text;
    return JSON.stringify(text);
  }
}
