// The schema of a topic as its data is checked with it: strictly as JSON. Elysia's own kinds accept texts in the place of numbers and
// others, because they are made for queries and forms, whose values are all texts. What is published is what its type says.
import { FormatRegistry, Kind, OptionalKind, ReadonlyKind, type TSchema } from "@sinclair/typebox";

/** The formats of the texts that Elysia's t.Integer(), t.Numeric() and others take and turn into the value. */
const TEXT_FORMS = new Set(["integer", "numeric", "boolean", "ObjectString", "ArrayString"]);

/** What TypeBox and Elysia have kinds for and JSON has no values for. */
const NOT_IN_JSON = new Set(
  "ArrayBuffer AsyncIterator BigInt Constructor Date File Files Function Iterator Promise Symbol Uint8Array".split(
    " ",
  ),
);

const TRANSFORM = Symbol.for("TypeBox.Transform");

/** Values in a schema that are no schemas. */
const VALUES = new Set(["const", "default", "enum", "examples", "required", "compiler"]);

/** The schema for the data of a topic. Throws an Error that says what cannot be checked in JSON. */
export function jsonSchema(schema: TSchema): TSchema {
  const kind = schema[Kind];
  if (kind === undefined) {
    throw new Error(
      "it is not a schema of TypeBox 0.34: make it with t of elysia or Type of @sinclair/typebox",
    );
  }
  const strict = withoutTextForms(schema);
  if (strict !== undefined) return jsonSchema(strict);
  if (NOT_IN_JSON.has(kind) || (kind === "Union" && hasNoJson(schema))) {
    throw new Error(`JSON has no ${kind === "Union" ? "Date or Uint8Array" : kind}`);
  }
  if (TRANSFORM in schema) {
    throw new Error("a Transform has two types, and JSON only one: declare that of the JSON");
  }
  if (typeof schema.format === "string" && !FormatRegistry.Has(schema.format)) {
    throw new Error(`the format "${schema.format}" is not registered in TypeBox`);
  }
  const parts = Object.entries(schema).map(([key, value]) => [
    key,
    VALUES.has(key) ? value : jsonPart(value),
  ]);
  return Object.assign({ ...schema }, Object.fromEntries(parts));
}

/** Something in a schema: another schema, or several by their place or name. */
function jsonPart(part: unknown): unknown {
  if (typeof part !== "object" || part === null) return part;
  if (Array.isArray(part)) return part.map(jsonPart);
  if (Kind in part) return jsonSchema(part as TSchema);
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, jsonPart(value)]));
}

/** The union without the texts that Elysia turns into its other values; undefined for any other schema. */
function withoutTextForms(schema: TSchema): TSchema | undefined {
  if (schema[Kind] !== "Union" || !(TRANSFORM in schema)) return undefined;
  const members = schema.anyOf as TSchema[];
  const others = members.filter(({ format }) => !TEXT_FORMS.has(format as string));
  const [only] = others;
  if (others.length === members.length || others.length !== 1 || only === undefined) {
    return undefined;
  }
  const optional = OptionalKind in schema ? { [OptionalKind]: schema[OptionalKind] } : {};
  const readonly = ReadonlyKind in schema ? { [ReadonlyKind]: schema[ReadonlyKind] } : {};
  return { ...only, ...optional, ...readonly } as TSchema;
}

/** Elysia's t.Date() and t.Uint8Array(). */
function hasNoJson(schema: TSchema): boolean {
  const members = schema.anyOf as TSchema[];
  return TRANSFORM in schema && members.some((member) => NOT_IN_JSON.has(member[Kind]));
}
