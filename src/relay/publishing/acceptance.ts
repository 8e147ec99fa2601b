// What may be published: turns a publisher's command into a publication, or refuses it.
import { Refusal } from "../contracts/errors";
import type { Publication } from "../contracts/publication";
import { checkData, checkIdempotencyKey, checkMessage, checkTopic, toUser } from "../text/checks";

/** What a publisher asks for: `message` or `data`, one of the two. */
export interface PublishCommand {
  readonly topic: string;
  /** Text. */
  readonly message?: string | undefined;
  /** JSON text, valid; its bytes go out unchanged. */
  readonly data?: string | undefined;
  readonly user_id?: number | string | undefined;
  /** Id of a connection that shall not get it live. */
  readonly except?: string | undefined;
  readonly idempotency_key?: string | undefined;
  /** JSON text: an object of texts for the receivers. */
  readonly tags?: string | undefined;
}

/** The publication that is asked for. Cost: the length of its text. */
export function toPublication(
  command: PublishCommand,
  messageBytes: number,
): Publication | Refusal {
  const { topic, message, data, user_id, except, idempotency_key, tags } = command;
  if ((message === undefined) === (data === undefined)) {
    return new Refusal("invalid_body", "Give either message (text) or data (any JSON).");
  }
  const refusal =
    checkTopic(topic) ??
    (message === undefined ? undefined : checkMessage(message, messageBytes)) ??
    (data === undefined ? undefined : checkData(data, messageBytes)) ??
    (idempotency_key === undefined ? undefined : checkIdempotencyKey(idempotency_key));
  if (refusal !== undefined) return refusal;
  const user = user_id === undefined ? undefined : toUser(user_id);
  if (user instanceof Refusal) return user;
  if (message !== undefined) return { topic, data: message, user, except };
  const publication = { topic, data: data as string, json: true, user, except };
  return tags === undefined ? publication : { ...publication, tags };
}

/** The same publication for each of many topics. Cost: the length of its text, once, and the topics. */
export function toPublications(
  topics: readonly string[],
  command: Omit<PublishCommand, "topic">,
  messageBytes: number,
): readonly (Publication | Refusal)[] {
  const accepted = toPublication({ ...command, topic: "any" }, messageBytes);
  if (accepted instanceof Refusal) return topics.map(() => accepted);
  return topics.map((topic) => checkTopic(topic) ?? { ...accepted, topic });
}
