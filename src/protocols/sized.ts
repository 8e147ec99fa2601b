// Variants of a protocol for clients that take no large frames. A library that is sent a larger one closes its connection,
// comes back, and is sent the same again; here such a publication comes in its envelope without its data, so that the
// client learns of it and its position moves on. There are few sizes, because fan-out encodes a publication once for each.
import type { TopicsCommand } from "../relay/contracts/commands";
import { Refusal } from "../relay/contracts/errors";
import {
  type ResumableProtocol,
  SIZED_COMMENTS_MAX,
  SIZED_POSITIONS_BYTES_MAX,
  type SizedProtocol,
} from "../relay/contracts/protocol";
import type { Publication } from "../relay/contracts/publication";

const KIB = 1_024;

/** Tomcat takes 8 KiB, coder/websocket 32, Jetty and the Go libraries for Server-Sent Events 64, Spring 256. */
const SIZES_KIB = [8, 16, 32, 64, 128, 256, 512, 1_024] as const;

/** What a stream puts before an event besides positions: a retry line of 12 bytes, and comments of 3. */
const LINES_BYTES_MAX = 16 + 3 * SIZED_COMMENTS_MAX;

/** What one topic takes in the reply to a command at most, besides its name. */
const REPLY_BYTES_PER_TOPIC = 100;

/** The frame of a publication that is whole. */
interface Whole {
  readonly publication: Publication;
  readonly frame: string;
  readonly bytes: number;
}

/** The protocol with its variants. Its envelope must be the one of the JSON protocol. */
export function withSizes(protocol: ResumableProtocol): ResumableProtocol {
  let last: Whole | undefined;
  // Fan-out asks each variant in turn for the same publication, so the last one is enough.
  const whole = (publication: Publication): Whole => {
    if (last?.publication !== publication) {
      const frame = protocol.encodePublication(publication);
      last = { publication, frame, bytes: Buffer.byteLength(frame) };
    }
    return last;
  };
  return { ...protocol, sizes: SIZES_KIB.map((kib) => sized(protocol, kib, whole)) };
}

function sized(
  protocol: ResumableProtocol,
  kib: number,
  whole: (publication: Publication) => Whole,
): SizedProtocol {
  const maxBytes = kib * KIB;
  const added = protocol.transport === "stream" ? SIZED_POSITIONS_BYTES_MAX + LINES_BYTES_MAX : 0;
  return {
    ...protocol,
    name: `${protocol.name}-${kib}k`,
    maxBytes,
    decode(frame) {
      const command = protocol.decode(frame);
      if (command instanceof Refusal || command.kind === "ping") return command;
      return checkReply(command, maxBytes) ?? command;
    },
    encodePublication(publication) {
      const { frame, bytes } = whole(publication);
      if (bytes <= maxBytes - added) return frame;
      return protocol.encodePublication(withoutData(publication, bytes));
    },
  };
}

/** JSON data goes into the envelope as it is, so another member may follow it. */
function withoutData(publication: Publication, bytes: number): Publication {
  return { ...publication, json: true, data: `null,"too_large":${bytes}` };
}

/** Refuses (`too_many_topics`) a command whose reply could be too large. */
function checkReply({ topics }: TopicsCommand, maxBytes: number): Refusal | undefined {
  const bytes = Buffer.byteLength(JSON.stringify(topics)) + REPLY_BYTES_PER_TOPIC * topics.length;
  if (bytes <= maxBytes) return undefined;
  return new Refusal(
    "too_many_topics",
    `The reply could be larger than ${maxBytes} bytes, the most that this connection takes (max_bytes): choose fewer topics.`,
  );
}
