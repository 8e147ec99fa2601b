// What BATON_SOURCES_FILE says: sources by their names, such as {"orders": {"kind": "postgresql", "url": "${ORDERS_URL}"}}.
import { type Static, type TObject, type TSchema, Type } from "@sinclair/typebox";
import { ValueErrorType } from "@sinclair/typebox/errors";
import { deepEquals } from "bun";
import { checkTopic } from "../relay/text/checks";
import { shortened } from "../relay/text/visible";
import { Shape } from "../shape";
import { SOURCE_KINDS } from "./index";
import { MappingOptions, mappingProblem } from "./shapes/record-shape";

/** A source, as the file declares it. */
export interface SourceDeclaration {
  readonly name: string;
  /** One of SOURCE_KINDS. */
  readonly kind: string;
  /** What its kind takes; they may have a password in them. */
  readonly options: unknown;
  readonly mapping: Static<typeof MappingOptions> | undefined;
  /** How the names of the topics begin that it may publish to; undefined where it may to all. */
  readonly topics: readonly string[] | undefined;
  readonly tombstones: "bury" | "skip";
}

/** It stands in metrics, logs and the names of partitions. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}$/;

const SOURCES_MAX = 100;

/** What each source may have, whatever its kind. */
const COMMON = {
  kind: Type.Union(Object.keys(SOURCE_KINDS).map((kind) => Type.Literal(kind))),
  mapping: Type.Optional(MappingOptions),
  topics: Type.Optional(
    Type.Array(Type.String(), {
      minItems: 1,
      maxItems: 1_000,
      description: "How the names of topics begin that it may publish to.",
    }),
  ),
  tombstones: Type.Optional(
    Type.Union([Type.Literal("bury"), Type.Literal("skip")], {
      description: "What becomes of a record without a body.",
    }),
  ),
};

/** What a reference such as ${ORDERS_PASSWORD} stands for; undefined where nothing is set. */
type Lookup = (name: string) => string | undefined;

/**
 * The sources in a parsed file. Throws an Error whose message names the field, says what is wrong and what is allowed. It shows no value of
 * a reference.
 */
export function sourcesIn(file: unknown, lookup: Lookup): readonly SourceDeclaration[] {
  if (typeof file !== "object" || file === null || Array.isArray(file)) {
    throw new Error(
      'it must be an object of sources by their names, such as {"orders": {"kind": "postgresql", "url": "${ORDERS_URL}"}}',
    );
  }
  const entries = Object.entries(file);
  if (entries.length > SOURCES_MAX)
    throw new Error(`it has ${entries.length} sources, of which there may be ${SOURCES_MAX}`);
  const sources = entries.map(([name, value]) => declared(name, value, lookup));
  for (const [i, { name, kind, options }] of sources.entries()) {
    const same = sources.findIndex((one) => one.kind === kind && deepEquals(one.options, options));
    // Each would take it away from the other.
    if (same < i) throw new Error(`at /${name} it has the same source as /${sources[same]?.name}`);
  }
  return sources;
}

function declared(name: string, value: unknown, lookup: Lookup): SourceDeclaration {
  const place = shortened(`/${name}`);
  if (!NAME.test(name)) {
    throw new Error(
      `at ${place} it has a name that is not of 1 to 64 lower-case letters, digits, - and _, beginning with a letter or digit`,
    );
  }
  const { kind } = (value ?? {}) as { kind?: unknown };
  if (typeof kind !== "string" || !Object.hasOwn(SOURCE_KINDS, kind)) {
    throw new Error(`at ${place}/kind it must have one of ${Object.keys(SOURCE_KINDS).join(", ")}`);
  }
  const source = SOURCE_KINDS[kind] as (typeof SOURCE_KINDS)[string];
  const own = (source.options as TObject).properties;
  const isOwn = ([field]: [string, unknown]) => Object.hasOwn(own, field);
  const written = Object.entries(value as object);
  const options = resolved(Object.fromEntries(written.filter(isOwn)), place, lookup);
  const schema = Type.Object({ ...COMMON, ...own }, { additionalProperties: false });
  checkShape(schema, { ...(value as object), ...(options as object) }, place);
  checkAddress((options as { readonly url?: string }).url, place);
  const { mapping, topics, tombstones = "bury" } = value as Static<typeof schema>;
  const unclear = mapping && mappingProblem(mapping);
  if (unclear !== undefined) throw new Error(`at ${place}/mapping${unclear}`);
  const problem = source.problem?.(options as never);
  if (problem !== undefined) throw new Error(`at ${place}: ${problem}`);
  for (const prefix of topics ?? []) {
    const refusal = checkTopic(prefix);
    if (refusal !== undefined) throw new Error(`at ${place}/topics: ${refusal.message}`);
  }
  return { name, kind, options, mapping, topics, tombstones };
}

/** A password that is not encoded may end the address early: what is left of it would be looked up as a host, and shown. */
function checkAddress(url: string | undefined, place: string): void {
  if (url === undefined) return;
  const parsed = URL.parse(url);
  if (parsed !== null && !/@/.test(parsed.pathname + parsed.search + parsed.hash)) return;
  throw new Error(
    `at ${place}/url it has a text that is no address, such as one whose port is none, or whose password has a character that must be percent-encoded: write \${NAME} in its place, which is encoded by itself`,
  );
}

/** References are resolved already, so no text is shown. */
function checkShape(schema: TObject, value: unknown, place: string): void {
  const wrong = new Shape(schema).problemOf(value);
  if (wrong === undefined) return;
  const where = shortened(place + wrong.path);
  if (wrong.type === ValueErrorType.ObjectAdditionalProperties) {
    const known = Object.keys((wrong.schema as TObject).properties).join(", ");
    throw new Error(`at ${where} it has a field that is not known. There may be ${known}`);
  }
  const { description = "" } = wrong.schema as { description?: string };
  const what = `at ${where} it must have ${allowedBy(wrong.schema)}, and has ${kindOf(wrong.value)}`;
  // Whoever shows it adds a full stop.
  throw new Error(description === "" ? what : `${what}. ${description.replace(/\.$/, "")}`);
}

/** What fits a schema, as far as its description does not say so. */
function allowedBy({ type, anyOf, minLength, minItems, maxItems, ...schema }: TSchema): string {
  if (anyOf !== undefined) {
    return anyOf.map((one: { const: unknown }) => JSON.stringify(one.const)).join(" or ");
  }
  if (type === "boolean") return "true or false";
  if (type === "integer") return `a whole number from ${schema.minimum} to ${schema.maximum}`;
  if (type === "array") return `a list of ${minItems} to ${maxItems}`;
  if (type === "object") return "an object";
  if (schema.pattern !== undefined) return `a text that fits ${schema.pattern}`;
  return minLength === undefined
    ? "a text"
    : `a text of ${minLength} to ${schema.maxLength} characters`;
}

const REFERENCE = /\$\{([A-Za-z_][A-Za-z0-9_]{0,127})\}/g;

/**
 * The same with what its references stand for. In an address that has more than a reference, it is percent-encoded: a password
 * may have any character.
 */
function resolved(value: unknown, place: string, lookup: Lookup): unknown {
  if (Array.isArray(value)) return value.map((one, i) => resolved(one, `${place}/${i}`, lookup));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, one]) => [name, resolved(one, `${place}/${name}`, lookup)]),
    );
  }
  if (typeof value !== "string") return value;
  if (value.replaceAll(REFERENCE, "").includes("${")) {
    const names = "names have letters, digits and _";
    throw new Error(`at ${place} it has a \${ that is no reference such as \${NAME}: ${names}`);
  }
  return value.replaceAll(REFERENCE, (whole, name: string) => {
    const found = lookup(name);
    if (found === undefined || found === "") {
      throw new Error(`at ${place} it refers to ${whole}, which is not set`);
    }
    return whole !== value && value.includes("://") ? encodeURIComponent(found) : found;
  });
}

/** The variables that a text of a file refers to. */
export function referencesIn(text: string): readonly string[] {
  return [...text.matchAll(REFERENCE)].map(([, name = ""]) => name);
}

/** Numbers, true, false and null are shown; anything else may have a password in it. */
function kindOf(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === "") return "an empty text";
  if (typeof value === "string") return "another text";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
