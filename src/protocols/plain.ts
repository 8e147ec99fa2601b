// The plain protocol: a publication is one text frame, its message and nothing else; the client
// sends {"topics": [...]} and gets {"error": ...} for anything that is not that.
import { type Static, Type } from "@sinclair/typebox";
import { TypeCompiler } from "@sinclair/typebox/compiler";
import { errorBody, Refusal } from "../relay/errors";
import type { Command, Protocol } from "../relay/protocol";
import type { Publication } from "../relay/publication";

/** The only frame that a client of the plain protocol sends. */
export const TopicsFrame = Type.Object(
  {
    topics: Type.Array(Type.String(), {
      description: "The topics of this connection from now on, in place of those it had.",
    }),
  },
  { additionalProperties: false },
);

const topicsFrame = TypeCompiler.Compile(TopicsFrame);

const EXPECTED = 'Send a text frame like {"topics":["tech","news"]}.';

export const plain: Protocol = {
  name: "plain",

  decode(frame: string | Uint8Array): Command | Refusal {
    if (typeof frame !== "string") {
      return new Refusal("invalid_frame", `Binary frames mean nothing here. ${EXPECTED}`);
    }
    let value: unknown;
    try {
      value = JSON.parse(frame);
    } catch {
      return new Refusal("malformed_json", `The frame is not JSON. ${EXPECTED}`);
    }
    if (!topicsFrame.Check(value)) {
      return new Refusal("invalid_frame", `The frame is not a command. ${EXPECTED}`);
    }
    const { topics }: Static<typeof TopicsFrame> = value;
    return { kind: "topics", topics };
  },

  encodePublication(publication: Publication): string {
    return publication.data;
  },

  encodeError(refusal: Refusal): string {
    return JSON.stringify(errorBody(refusal));
  },
};
