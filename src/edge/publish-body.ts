// The body of POST /publish: one publication or up to 1,000. JSON data is cut out of the text as it stands, since
// JSON.parse would round large integers, and 1.0 would come out as 1.
import type { Static } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import type { PublishCommand } from "../relay/acceptance";
import { Refusal } from "../relay/errors";
import { stringEnd } from "../relay/text";
import { readJson, wrongShape } from "./body";
import { Refused } from "./refusal";
import { PublishBody } from "./schemas";

/** Publications in one body. */
export const BATCH_MAX = 1_000;

const EXAMPLE = '{"topic":"tech","message":"hi"}';

const shape = TypeCompiler.Compile(PublishBody);

/** A publication, or why it is none. */
export type PublishRequest = PublishCommand | Refusal;

/**
 * A reader of such bodies. Rejects with Refused; the items of an array are refused one by one. The key of the
 * Idempotency-Key header is that of the publication; of an array, each item has it together with its place.
 */
export function publishReader(
  bodyBytes: number,
): (request: Request) => Promise<PublishRequest | PublishRequest[]> {
  return async (request) => {
    const { text, value } = await readJson(request, bodyBytes);
    const key = request.headers.get("idempotency-key") ?? undefined;
    if (!Array.isArray(value)) {
      return publishRequest(value, key, () => rawMembers(text, "data")[0]);
    }
    if (value.length > BATCH_MAX) {
      throw new Refused(
        new Refusal("batch_too_large", `A body may have at most ${BATCH_MAX} publications.`),
      );
    }
    let raw: (string | undefined)[] | undefined;
    return value.map((item, place) =>
      publishRequest(item, key && `${key}/${place}`, () => {
        raw ??= rawMembers(text, "data");
        return raw[place];
      }),
    );
  };
}

function publishRequest(
  value: unknown,
  key: string | undefined,
  rawData: () => string | undefined,
): PublishRequest {
  if (!shape.Check(value)) return wrongShape(shape.Errors(value).First(), EXAMPLE);
  const body: Static<typeof PublishBody> = value;
  const data = body.data === undefined ? undefined : rawData();
  if (key === undefined) return data === undefined ? (body as PublishCommand) : { ...body, data };
  return { ...body, data, idempotency_key: body.idempotency_key ?? key };
}

/**
 * The text of a member's value, for the object at the top of valid JSON text, or for each item of an array at its
 * top; undefined where there is none. Of two members with this name the last counts, as for JSON.parse.
 */
export function rawMembers(json: string, name: string): (string | undefined)[] {
  let at = skipSpace(json, 0);
  if (json[at] !== "[") return [memberOf(json, at, name).value];
  const values: (string | undefined)[] = [];
  at = skipSpace(json, at + 1);
  while (json[at] !== "]") {
    const { value, end } = memberOf(json, at, name);
    values.push(value);
    at = skipSpace(json, end);
    if (json[at] === ",") at = skipSpace(json, at + 1);
  }
  return values;
}

function memberOf(
  json: string,
  start: number,
  name: string,
): { value: string | undefined; end: number } {
  if (json[start] !== "{") return { value: undefined, end: skipValue(json, start) };
  let value: string | undefined;
  let at = skipSpace(json, start + 1);
  while (json[at] !== "}") {
    const keyEnd = stringEnd(json, at) + 1;
    const key: string = JSON.parse(json.slice(at, keyEnd));
    // Past the colon.
    const begin = skipSpace(json, skipSpace(json, keyEnd) + 1);
    const end = skipValue(json, begin);
    if (key === name) value = json.slice(begin, end);
    at = skipSpace(json, end);
    if (json[at] === ",") at = skipSpace(json, at + 1);
  }
  return { value, end: at + 1 };
}

function skipSpace(json: string, start: number): number {
  let at = start;
  while (json.charCodeAt(at) <= 0x20) at++;
  return at;
}

/** Where the value that begins at `start` ends. */
function skipValue(json: string, start: number): number {
  const first = json[start];
  if (first === '"') return stringEnd(json, start) + 1;
  if (first !== "{" && first !== "[") {
    let at = start;
    while (at < json.length && !/[\s,\]}]/.test(json[at] as string)) at++;
    return at;
  }
  let depth = 0;
  for (let at = start; ; at++) {
    const c = json[at];
    if (c === '"') at = stringEnd(json, at);
    else if (c === "{" || c === "[") depth++;
    else if ((c === "}" || c === "]") && --depth === 0) return at + 1;
  }
}
