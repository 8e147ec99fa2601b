// Request bodies: a bounded number of bytes, strict UTF-8, and JSON of the route's shape; anything else throws Refused.
// Elysia's own parser would accept forms, drop unknown fields and repair broken UTF-8 silently.
import type { Static, TSchema } from "@sinclair/typebox";
import { type ValueError, ValueErrorType } from "@sinclair/typebox/errors";
import { ERRORS, type ErrorCode, Refusal } from "../../relay/contracts/errors";
import { tooDeep } from "../../relay/text/checks";
import { isFarTooDeep } from "../../relay/text/json";
import { Shape } from "../../shape";
import { checkJsonType, checkNotEncoded } from "./content-type";
import { Refused } from "./refusal";

/** The setting that decides how large a body may be. */
type SizeSetting = "BATON_BODY_BYTES" | "BATON_FRAME_BYTES";

/** The text of a body and the value that it parses to. */
interface JsonBody {
  readonly text: string;
  readonly value: unknown;
}

/**
 * How long a body may take. Over HTTP/1.1 Bun has closed the connection by then; over HTTP/2 it counts again at each byte, and a client
 * that sends one a second would never be cut off.
 */
const BODY_MS_MAX = 15_000;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * A reader of bodies that match the schema; a refusal of another shape quotes `example`. Rejects with Refused.
 * The routes call it themselves, because Elysia would make a stream of a body before it hands it to a hook.
 */
export function bodyReader<Schema extends TSchema>(
  schema: Schema,
  example: string,
  bodyBytes: number,
): (request: Request) => Promise<Static<Schema>> {
  const shape = new Shape(schema);
  return async (request) => {
    const { value } = await readJson(request, bodyBytes);
    if (shape.fits(value)) return value;
    throw new Refused(wrongShape(shape.problemOf(value), example));
  };
}

/** Reads a body as text, whatever its Content-Type is. Rejects with Refused. */
export async function readText(
  request: Request,
  bodyBytes: number,
  setting: SizeSetting = "BATON_BODY_BYTES",
): Promise<string> {
  const bytes = await readBytes(request, bodyBytes, setting);
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Refused(new Refusal("bad_request", "The body is not UTF-8."));
  }
}

/** Reads a body that is declared as JSON. Throws or rejects with Refused. */
function readJson(request: Request, bodyBytes: number): Promise<JsonBody> {
  const refusal = checkJsonType(request.headers.get("content-type"));
  if (refusal !== undefined) throw new Refused(refusal);
  return readUntypedJson(request, bodyBytes);
}

/** Reads a body as JSON, whatever its Content-Type is. Rejects with Refused. */
export async function readUntypedJson(
  request: Request,
  bodyBytes: number,
  setting: SizeSetting = "BATON_BODY_BYTES",
): Promise<JsonBody> {
  return parseJson(await readBytes(request, bodyBytes, setting));
}

/** The JSON of a body that was read. Throws Refused. */
export function parseJson(bytes: Uint8Array): JsonBody {
  try {
    const text = utf8.decode(bytes);
    if (!isFarTooDeep(text)) return { text, value: JSON.parse(text) };
  } catch {
    throw new Refused(new Refusal("malformed_json", "The body is not JSON in UTF-8."));
  }
  throw new Refused(tooDeep());
}

/** Refuses (`body_too_large`) a request whose Content-Length is over the limit. */
export function checkLength(
  contentLength: string | null,
  bodyBytes: number,
  setting: SizeSetting = "BATON_BODY_BYTES",
): Refusal | undefined {
  const isTooLong = contentLength !== null && Number(contentLength) > bodyBytes;
  return isTooLong ? bodyTooLarge(bodyBytes, setting) : undefined;
}

/** Says what is wrong with a body, what is allowed there, and what a good body looks like. */
export function wrongShape(error: ValueError | undefined, example: string): Refusal {
  const named: unknown = error?.value === undefined ? undefined : error.schema["x-error"];
  const code = typeof named === "string" && named in ERRORS ? (named as ErrorCode) : "invalid_body";
  return new Refusal(code, `${shapeProblem(error, "body")} Send JSON like ${example}.`);
}

/** Where a value of another shape is wrong, and what is allowed there; `whole` is what the value is called. */
export function shapeProblem(error: ValueError | undefined, whole: string): string {
  const field = fieldName(error?.path ?? "", whole);
  const description: unknown = error?.value === undefined ? undefined : error.schema.description;
  const allowed = typeof description === "string" ? ` ${description}` : "";
  return `${field}: ${problemOf(error)}.${allowed}`;
}

/** What TypeBox says, but for the two sentences that nobody who does not know it would understand. */
function problemOf(error: ValueError | undefined): string {
  if (error?.type === ValueErrorType.Union || error?.type === ValueErrorType.Kind) {
    const values = valuesOf(error.schema);
    return values === undefined ? "Unexpected value" : `Must be ${values.join(" or ")}`;
  }
  if (error?.type === ValueErrorType.StringMinLength) return "Must not be empty";
  return error?.message ?? "Wrong shape";
}

/** As JSON, what a schema allows that names each of its values; undefined for others, and where they are too many to show. */
function valuesOf({ enum: names, anyOf }: TSchema): readonly string[] | undefined {
  const literals = (anyOf as readonly TSchema[] | undefined)?.map((one) => one.const);
  const values = (names as readonly unknown[] | undefined) ?? literals ?? [];
  const isShown = values.length > 0 && values.length <= VALUES_SHOWN_MAX;
  return isShown && !values.includes(undefined)
    ? values.map((one) => JSON.stringify(one))
    : undefined;
}

const VALUES_SHOWN_MAX = 20;

/** Reads a body of bounded length. Throws or rejects with Refused. */
export type BodyReader = (request: Request, bodyBytes: number) => Promise<Uint8Array>;

/** Reads a body as it is, whatever its Content-Type is, within BODY_MS_MAX. Throws or rejects with Refused. */
export function readBytes(
  request: Request,
  bodyBytes: number,
  setting: SizeSetting = "BATON_BODY_BYTES",
): Promise<Uint8Array> {
  const bytes = readUntimed(request, bodyBytes, setting);
  return Bun.peek.status(bytes) === "pending" ? inTime(bytes) : bytes;
}

/**
 * The same where the server itself ends the connection of a body that takes too long. Bun gives a request to its handler before the
 * body, even one that has come with it, so that each would have a timer: 2 µs of a publish.
 */
export function readUntimed(
  request: Request,
  bodyBytes: number,
  setting: SizeSetting = "BATON_BODY_BYTES",
): Promise<Uint8Array> {
  const { headers } = request;
  const length = headers.get("content-length");
  const refusal =
    checkNotEncoded(headers.get("content-encoding")) ?? checkLength(length, bodyBytes, setting);
  if (refusal !== undefined) throw new Refused(refusal);
  const isBounded = length !== null || request.body === null;
  return isBounded
    ? request.bytes()
    : readChunks(request.body as ReadableStream<Uint8Array>, bodyBytes, setting);
}

/** Rejects with Refused when a body takes too long. */
function inTime(bytes: Promise<Uint8Array>): Promise<Uint8Array> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const refusal = new Refusal("bad_request", `The body took longer than ${BODY_MS_MAX} ms.`);
    late.reject(new Refused(refusal));
  }, BODY_MS_MAX);
  return Promise.race([bytes, late.promise]).finally(() => clearTimeout(timer));
}

async function readChunks(
  body: ReadableStream<Uint8Array>,
  bodyBytes: number,
  setting: SizeSetting,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return Buffer.concat(chunks, length);
    length += value.length;
    if (length > bodyBytes) {
      reader.cancel().catch(() => {});
      throw new Refused(bodyTooLarge(bodyBytes, setting));
    }
    chunks.push(value);
  }
}

/** Refuses (`body_too_large`) a body over the limit that this setting decides. */
export function bodyTooLarge(bodyBytes: number, setting: SizeSetting): Refusal {
  return new Refusal("body_too_large", `A body may have at most ${bodyBytes} bytes (${setting}).`);
}

// A path like /user_id comes from the schema or from the sender, so anything but a plain name stays out of the answer.
function fieldName(path: string, whole: string): string {
  const name = path.slice(1).replaceAll("/", ".");
  return /^[\w.]{1,64}$/.test(name) ? name : whole;
}
