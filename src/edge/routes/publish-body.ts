// The body of POST /publish: one publication or an array of up to 1,000. JSON data is cut out of the text as it stands,
// since JSON.parse would round large integers and turn 1.0 into 1.
import type { Static } from "@sinclair/typebox";
import { Refusal } from "../../relay/contracts/errors";
import type { PublishCommand } from "../../relay/publishing/publisher";
import { checkIdempotencyHeader } from "../../relay/text/checks";
import { rawMembers } from "../../relay/text/json";
import { Shape } from "../../shape";
import type { Grants } from "../access/keys";
import { parseJson, wrongShape } from "../http/body";
import { Refused } from "../http/refusal";
import { BATCH_PUBLICATIONS_MAX, PublishBody } from "./schemas";

const EXAMPLE = '{"topic":"tech","message":"hi"}';

const shape = new Shape(PublishBody);

/** What to publish, or why an item of the body cannot be published. */
export type PublishRequest = PublishCommand | Refusal;

/**
 * What such a body asks for. Throws Refused, but refuses the items of an array one by one. The key of the Idempotency-Key
 * header is that of a single publication; each item of an array gets it together with its place.
 */
export function publishRequests(
  body: Uint8Array,
  key: string | Refusal | undefined,
): PublishRequest | PublishRequest[] {
  const { text, value } = parseJson(body);
  if (!Array.isArray(value)) {
    return publishRequest(value, key, () => rawMembers(text, "data")[0]);
  }
  if (value.length > BATCH_PUBLICATIONS_MAX) {
    const most = `A body may have at most ${BATCH_PUBLICATIONS_MAX} publications.`;
    throw new Refused(new Refusal("batch_too_large", most));
  }
  let raw: (string | undefined)[] | undefined;
  return value.map((item, place) =>
    publishRequest(item, typeof key === "string" ? `${key}/${place}` : key, () => {
      raw ??= rawMembers(text, "data");
      return raw[place];
    }),
  );
}

/** The key that the header gives. A refusal counts only if the body has no key. */
export function headerKey(headers: Headers): string | Refusal | undefined {
  const key = headers.get("idempotency-key");
  return key === null ? undefined : (checkIdempotencyHeader(key) ?? key);
}

/** The same, or why the key of its request does not open that. */
export function granted(request: PublishRequest, grants: Grants): PublishRequest {
  if (request instanceof Refusal) return request;
  return grants.check("publish", request.topic) ?? request;
}

/** What a parsed body, or a part of it, asks for. `rawData` gives the text of its member `data`. */
export function publishRequest(
  value: unknown,
  key: string | Refusal | undefined,
  rawData: () => string | undefined,
): PublishRequest {
  if (!shape.fits(value)) return wrongShape(shape.problemOf(value), EXAMPLE);
  const body: Static<typeof PublishBody> = value;
  const data = body.data === undefined ? undefined : rawData();
  if (key === undefined) return data === undefined ? (body as PublishCommand) : { ...body, data };
  const own = body.idempotency_key ?? key;
  return own instanceof Refusal ? own : { ...body, data, idempotency_key: own };
}
