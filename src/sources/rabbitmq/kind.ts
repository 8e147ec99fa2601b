// The kind of source that is a queue of RabbitMQ, classic or quorum, or a stream.
import type { SourceKind } from "../contract";
import { tlsProblem } from "../tls";
import { Options } from "./options";

export const RABBITMQ: SourceKind<typeof Options> = {
  options: Options,
  problem: ({ url, queue, stream, from, dead_letters, dead_letters_exchange, ...options }) => {
    if ((queue === undefined) === (stream === undefined)) {
      return "queue or stream must be there, and not both";
    }
    if (queue !== undefined && from !== undefined) return "from is only for a stream";
    if (dead_letters_exchange === undefined && dead_letters === (queue ?? stream)) {
      return "dead_letters has the queue that is read: dead letters would be read again";
    }
    return tlsProblem(options, { isAsked: url.startsWith("amqps:"), by: "amqps:// in url" });
  },
  async open(options, context) {
    const { RabbitmqReader } = await import("./reader");
    return RabbitmqReader.open(options, context);
  },
};
