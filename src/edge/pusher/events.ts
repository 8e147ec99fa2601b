// What the bodies of Pusher backends ask to publish. An event's data is a text; where that is JSON it becomes JSON data, whose
// characters are the same, so that clients of other protocols can read it.
import type { Static } from "@sinclair/typebox";
import { Refusal } from "../../relay/contracts/errors";
import type { PublishCommand } from "../../relay/publishing/publisher";
import { checkData } from "../../relay/text/checks";
import { isFarTooDeep } from "../../relay/text/json";
import { Shape } from "../../shape";
import { parseJson, wrongShape } from "../http/body";
import { type Attributes, attributesOf } from "./info";
import type { ChannelNames } from "./names";
import { BatchBody, EVENTS_MAX, EventBody } from "./shapes";

const eventShape = new Shape(EventBody);
const batchShape = new Shape(BatchBody);

const EVENT = '{"name":"shipped","channels":["orders"],"data":"{}"}';
const BATCH = `{"batch":[{"name":"shipped","channel":"orders","data":"{}"}]}`;

/** One event in one channel or several. */
export interface Event {
  /** As the backend names them, each once. */
  readonly channels: readonly string[];
  /** Their topics. */
  readonly topics: readonly string[];
  readonly command: Omit<PublishCommand, "topic">;
  /** What its sender wants to know about the channels. */
  readonly attributes: Attributes | undefined;
}

/** The event of POST /apps/:id/events. Throws Refused when the body is no JSON. */
export function eventOf(body: Uint8Array, channelNames: ChannelNames): Event | Refusal {
  const { value } = parseJson(body);
  if (!eventShape.fits(value)) return wrongShape(eventShape.problemOf(value), EVENT);
  const { channel, channels } = value;
  const names = typeof channel === "string" ? [channel, ...(channels ?? [])] : (channels ?? []);
  if (names.length === 0) {
    return new Refusal(
      "invalid_body",
      `channels: It must name a channel. Send JSON like ${EVENT}.`,
    );
  }
  return event(value, [...new Set(names)], channelNames);
}

/** The events of POST /apps/:id/batch_events. Refuses all of them where one is wrong. Throws Refused when the body is no JSON. */
export function eventsOf(body: Uint8Array, channelNames: ChannelNames): readonly Event[] | Refusal {
  const { value } = parseJson(body);
  if (!batchShape.fits(value)) return wrongShape(batchShape.problemOf(value), BATCH);
  if (value.batch.length > EVENTS_MAX) {
    return new Refusal("batch_too_large", `A batch may have at most ${EVENTS_MAX} events.`);
  }
  const events: Event[] = [];
  for (const item of value.batch) {
    const one = event(item, [item.channel], channelNames);
    if (one instanceof Refusal) return one;
    events.push(one);
  }
  return events;
}

type EventFields = Pick<
  Static<typeof EventBody>,
  "name" | "data" | "socket_id" | "info" | "idempotency_key"
>;

function event(
  { name, data, socket_id, info, idempotency_key }: EventFields,
  channels: readonly string[],
  channelNames: ChannelNames,
): Event | Refusal {
  const topics: string[] = [];
  for (const channel of channels) {
    const topic = channelNames.topicOf(channel);
    if (topic instanceof Refusal) return topic;
    topics.push(topic);
  }
  const attributes =
    typeof info === "string" ? attributesOf(info, channels, channelNames) : undefined;
  if (attributes instanceof Refusal) return attributes;
  const command = {
    ...(isJsonData(data) ? { data } : { message: data }),
    event: name,
    except: socket_id ?? undefined,
    idempotency_key: (idempotency_key ?? undefined) as string | undefined,
  };
  return { channels, topics, command, attributes };
}

/** What JSON texts begin with, after white space. */
const BEGINNING = /^[\s{["\-\dtfn]/;

/** Whether a text is JSON that the relay takes as data. */
function isJsonData(text: string): boolean {
  if (!BEGINNING.test(text) || isFarTooDeep(text)) return false;
  try {
    JSON.parse(text);
  } catch {
    return false;
  }
  return checkData(text, Number.POSITIVE_INFINITY) === undefined;
}
