// Where a stream ends, about. AMQP does not say, and the number of messages that it tells is old and not exact: a consumer that begins with the
// last chunk of the stream gets the first message of that.
import type { ChannelModel, ConsumeMessage } from "amqplib";
import { answered } from "../silence";
import { offsetOf } from "./record";

const ANSWER_TIMEOUT_MS = 5_000;

/** The offset of the first message of the last chunk; undefined when there is none. Costs a consumer, and that message. */
export async function offsetNearEnd(
  connection: ChannelModel,
  stream: string,
): Promise<number | undefined> {
  const channel = await connection.createChannel();
  channel.on("error", () => {});
  const found = Promise.withResolvers<number | undefined>();
  const take = (message: ConsumeMessage | null) =>
    found.resolve(message ? offsetOf(message) : undefined);
  try {
    await channel.prefetch(1);
    await channel.consume(stream, take, { arguments: { "x-stream-offset": "last" } });
    return await answered(found.promise, ANSWER_TIMEOUT_MS);
  } catch {
    // The lag is not worth more: what is wrong with the stream, its reader finds.
    return undefined;
  } finally {
    await channel.close().catch(() => {});
  }
}
