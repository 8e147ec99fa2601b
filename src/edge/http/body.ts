// Request bodies: bounded bytes, strict UTF-8, JSON of the route's shape, or a Refused error.
// Elysia's own parser would take forms, drop unknown fields and repair broken UTF-8 without a word.
import type { Static, TSchema } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { ValueError } from "@sinclair/typebox/errors";
import { ERRORS, type ErrorCode, Refusal } from "../../relay/contracts/errors";
import { bodyTooLarge } from "../access/guard";
import { Refused } from "./refusal";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * A reader of bodies of this schema; `example` is shown to who sends another shape. Rejects with Refused.
 * Called by the routes themselves: to hand a body over to a hook of ours, Elysia would first make a stream of it.
 */
export function bodyReader<Schema extends TSchema>(
  schema: Schema,
  example: string,
  bodyBytes: number,
): (request: Request) => Promise<Static<Schema>> {
  const shape = TypeCompiler.Compile(schema);
  return async (request) => {
    const { value } = await readJson(request, bodyBytes);
    if (shape.Check(value)) return value;
    throw new Refused(wrongShape(shape.Errors(value).First(), example));
  };
}

/** A body as text, whatever its type is said to be. Rejects with Refused. */
export async function readText(request: Request, bodyBytes: number): Promise<string> {
  const bytes = await read(request, bodyBytes);
  try {
    return utf8.decode(bytes);
  } catch {
    throw new Refused(new Refusal("bad_request", "The body is not UTF-8."));
  }
}

/** A body as text and what it says; it need not be said to be JSON unless `typed`. Rejects with Refused. */
export async function readJson(
  request: Request,
  bodyBytes: number,
  typed = true,
): Promise<{ text: string; value: unknown }> {
  if (typed) checkType(request.headers);
  const bytes = await read(request, bodyBytes);
  try {
    const text = utf8.decode(bytes);
    return { text, value: JSON.parse(text) };
  } catch {
    throw new Refused(new Refusal("malformed_json", "The body is not JSON in UTF-8."));
  }
}

/** The same as the OpenAPI page shows it. */
export function bodyDocument(schema: TSchema) {
  return { required: true, content: { "application/json": { schema: schema as object } } };
}

/** Says what is wrong with a body, what is allowed, and how it should look. */
export function wrongShape(error: ValueError | undefined, example: string): Refusal {
  const field = fieldName(error?.path ?? "");
  const problem = error?.message ?? "Wrong shape";
  const description: unknown = error?.value === undefined ? undefined : error.schema.description;
  const allowed = typeof description === "string" ? ` ${description}` : "";
  const named: unknown = error?.value === undefined ? undefined : error.schema["x-error"];
  const code = typeof named === "string" && named in ERRORS ? (named as ErrorCode) : "invalid_body";
  return new Refusal(code, `${field}: ${problem}.${allowed} Send JSON like ${example}.`);
}

function checkType(headers: Headers): void {
  const type = headers.get("content-type") ?? "";
  const usual = type === "application/json";
  if (
    !usual &&
    !/^application\/json\s*(?:;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(type.slice(0, 100))
  ) {
    throw new Refused(
      new Refusal(
        "unsupported_media_type",
        "The body must be JSON in UTF-8: send the header Content-Type: application/json.",
      ),
    );
  }
}

function read(request: Request, bodyBytes: number): Promise<Uint8Array> {
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding.toLowerCase() !== "identity") {
    throw new Refused(
      new Refusal("unsupported_media_type", "The body must not be compressed (Content-Encoding)."),
    );
  }
  const length = request.headers.get("content-length");
  if (length !== null && Number(length) > bodyBytes) throw new Refused(bodyTooLarge(bodyBytes));
  if (length !== null || request.body === null) return request.bytes();
  return readChunks(request.body, bodyBytes);
}

async function readChunks(
  body: ReadableStream<Uint8Array>,
  bodyBytes: number,
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
      throw new Refused(bodyTooLarge(bodyBytes));
    }
    chunks.push(value);
  }
}

// A path like /user_id comes from the schema or from the sender: what is not a plain name stays out.
function fieldName(path: string): string {
  const name = path.slice(1).replaceAll("/", ".");
  return /^[\w.]{1,64}$/.test(name) ? name : "body";
}
