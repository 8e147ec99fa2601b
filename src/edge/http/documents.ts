// How the OpenAPI page shows what routes have in common: JSON bodies, query parameters and error answers.
import { Kind, type TSchema, Type, TypeRegistry } from "@sinclair/typebox";
import { ERRORS, type ErrorCode } from "../../relay/contracts/errors";
import { TOPIC_BYTES_MAX, USER_CHARACTERS_MAX } from "../../relay/text/checks";
import type { Scope } from "../access/keys";
import type { BeforeHandle } from "./refusal";

/**
 * The key under which the schema of an answer names its media type, or null for an answer without a body. The plug-in
 * that makes the page would take every text to be text/plain.
 */
export const MEDIA_TYPE = "x-media-type";

/** The key of a route's other parameters, where its path has some: the plug-in would put those in their place. */
export const MORE_PARAMETERS = "x-parameters";

/** Says what the plug-in cannot: gives answers the media types that their schemas name, and routes all their parameters. */
export function completeDocument({ paths = {} }: ApiDescription): void {
  for (const operation of Object.values(paths).flatMap((path) => Object.values(path))) {
    const { [MORE_PARAMETERS]: more } = operation;
    if (more !== undefined) operation.parameters = [...(operation.parameters ?? []), ...more];
    delete operation[MORE_PARAMETERS];
    for (const answer of Object.values(operation.responses ?? {})) {
      const [content] = Object.values(answer.content ?? {});
      if (content === undefined || !(MEDIA_TYPE in content.schema)) continue;
      const { [MEDIA_TYPE]: type, ...schema } = content.schema;
      if (type === null) delete answer.content;
      else answer.content = { [String(type)]: { schema } };
    }
  }
}

/** The part of an OpenAPI document that has answers. */
export interface ApiDescription {
  readonly paths?: Record<
    string,
    Record<
      string,
      {
        readonly responses?: Record<string, AnAnswer>;
        parameters?: readonly object[];
        [MORE_PARAMETERS]?: readonly object[];
      }
    >
  >;
}

interface AnAnswer {
  content?: Record<string, { readonly schema: Record<string, unknown> }>;
}

/** The pattern of names and keys: no control characters. */
export const NO_CONTROL = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";

// The bounds are for the page only, so that relay/text/checks.ts counts characters and refuses a bad name with the right code.
TypeRegistry.Set("Described", (_, value) => typeof value === "string");
export const Described = (schema: { maxLength: number; description: string; examples: string[] }) =>
  Type.Unsafe<string>({
    ...schema,
    [Kind]: "Described",
    type: "string",
    minLength: 1,
    pattern: NO_CONTROL,
  });

/** A user in a path. */
export const UserName = Described({
  maxLength: USER_CHARACTERS_MAX,
  description:
    "A user_id, percent-encoded. Users named . and .. have no path, since every client takes these for steps in it.",
  examples: ["alice"],
});

export const UserPath = Type.Object({ user: UserName });

/** A topic in a path. */
export const TopicName = Described({
  maxLength: TOPIC_BYTES_MAX,
  description:
    "A topic name, percent-encoded. Topics named . and .. have no path, since every client takes these for steps in it.",
  examples: ["tech"],
});

/** What routes need that are for requests with a key. */
export interface KeyedRouteOptions {
  /** Requires a key with this scope; where the route names a topic, for that topic. */
  readonly requireKey: (scope: Scope) => BeforeHandle;
  /** Their `security` in the OpenAPI document. */
  readonly security: Record<string, string[]>[];
}

/** Their errors. */
export const KEY_ERRORS = ["bad_request", "unauthorized", "missing_scope"] as const;

/** The errors of every route that reads a JSON body. */
export const BODY_ERRORS = [
  ...KEY_ERRORS,
  "malformed_json",
  "body_too_large",
  "unsupported_media_type",
] as const satisfies readonly ErrorCode[];

export const Count = Type.Integer({ minimum: 0 });

export const Moment = Type.String({ format: "date-time" });

/** One of these texts. */
export function OneOf(texts: readonly string[]) {
  return Type.Union(texts.map((text) => Type.Literal(text)));
}

// A string and not Void, of which the plug-in makes an invalid document.
export const Switching = Type.String({
  maxLength: 0,
  description: "The connection becomes a WebSocket.",
  [MEDIA_TYPE]: null,
});

/** The body of a route, for a `requestBody`. */
export function bodyDocument(schema: TSchema) {
  return { required: true, content: { "application/json": { schema: schema as object } } };
}

/** The query parameters of a route: `names` is what query.ts accepts, `parameters` what the page shows. */
export function queryDocument(properties: Record<string, TSchema>) {
  const parameters = Object.entries(properties).map(([name, schema]) => ({
    in: "query" as const,
    name,
    required: false,
    description: schema.description ?? "",
    schema: schema as object,
  }));
  return { names: Object.keys(properties), parameters };
}

/** A route's error answers by status, from the codes that it may give. Every route may also refuse the page's origin. */
export function errorAnswers(...codes: ErrorCode[]): Record<number, TSchema> {
  const isWithKey = codes.includes("unauthorized");
  return errorAnswersBy(
    (code) => ERRORS[code].status,
    isWithKey ? [...codes, "too_many_key_requests"] : codes,
  );
}

/** The same, for routes that answer with other statuses than the table's. */
export function errorAnswersBy(
  statusOf: (code: ErrorCode) => number,
  codes: readonly ErrorCode[],
): Record<number, TSchema> {
  const all: ErrorCode[] = ["forbidden_origin", "too_many_requests", ...codes];
  const byStatus = Map.groupBy(all, statusOf);
  return Object.fromEntries([...byStatus].map(([status, group]) => [status, errorSchema(group)]));
}

/** By their codes: most routes have most of them in common, and each takes a tenth of a millisecond to make. */
const errorSchemas = new Map<string, TSchema>();

function errorSchema(codes: readonly ErrorCode[]): TSchema {
  return errorSchemas.getOrInsertComputed(codes.join(), () =>
    Type.Object(
      {
        error: Type.Object({
          code: OneOf(codes),
          message: Type.String({ description: "What was wrong and what is allowed." }),
        }),
      },
      { description: codes.map((code) => `\`${code}\`: ${ERRORS[code].means}`).join(" ") },
    ),
  );
}
