// Decodes what a Centrifuge client sends in protobuf: a frame has one command or several, each behind its length. The names
// are those of the JSON form, so that both forms make the same commands of them.
import type { SessionCommand } from "../../relay/contracts/commands";
import { Refusal } from "../../relay/contracts/errors";
import { COMMANDS_MAX } from "../../relay/contracts/options";
import { parseJson } from "../../relay/text/json";
import { commandOf, METHODS, VIOLATION } from "./commands";
import { ProtobufReader, textOf } from "./protobuf-reader";

/** How the value of a field is read; of "there" it counts only that it is there. An array is a map. */
type Kind = keyof typeof READ | "there" | Fields | readonly [Fields];

const READ = {
  text: (reader: ProtobufReader, tag: number) => reader.text(tag),
  flag: (reader: ProtobufReader, tag: number) => reader.flag(tag),
  int32: (reader: ProtobufReader, tag: number) => reader.int32(tag),
  uint53: (reader: ProtobufReader, tag: number) => reader.uint53(tag),
  bytes: (reader: ProtobufReader, tag: number) => reader.bytes(tag),
};

/** The fields of a message that count, by their numbers; all others are skipped. */
interface Fields {
  readonly [number: number]: readonly [name: string, kind: Kind];
}

const SINCE: Fields = { 1: ["offset", "uint53"], 2: ["epoch", "text"] };
const TOPIC: Fields = { 1: ["channel", "text"] };
const TOKEN: Fields = { 1: ["token", "text"] };
const SUBSCRIBE: Fields = {
  1: ["channel", "text"],
  2: ["token", "text"],
  3: ["recover", "flag"],
  6: ["epoch", "text"],
  7: ["offset", "uint53"],
  8: ["data", "bytes"],
  12: ["delta", "text"],
  13: ["tf", "there"],
  14: ["flag", "int32"],
  15: ["type", "int32"],
};

/** The entry of a map is a message of its own. */
const TOPIC_ENTRY: Fields = { 1: ["key", "text"], 2: ["value", SUBSCRIBE] };

const HEADER_ENTRY: Fields = { 1: ["key", "text"], 2: ["value", "text"] };

const CONNECT: Fields = {
  1: ["token", "text"],
  2: ["data", "bytes"],
  3: ["subs", [TOPIC_ENTRY]],
  4: ["name", "text"],
  5: ["version", "text"],
  6: ["headers", [HEADER_ENTRY]],
};

/** The methods, by the numbers of their fields in a command. */
const FIELDS: Fields = {
  4: ["connect", CONNECT],
  5: ["subscribe", SUBSCRIBE],
  6: ["unsubscribe", TOPIC],
  7: ["publish", { 1: ["channel", "text"], 2: ["data", "bytes"] }],
  8: ["presence", TOPIC],
  9: ["presence_stats", TOPIC],
  10: [
    "history",
    { 1: ["channel", "text"], 7: ["limit", "int32"], 8: ["since", SINCE], 9: ["reverse", "flag"] },
  ],
  12: ["send", {}],
  13: ["rpc", { 1: ["data", "bytes"], 2: ["method", "text"] }],
  14: ["refresh", TOKEN],
  15: ["sub_refresh", { 1: ["channel", "text"], 2: ["token", "text"] }],
};

const EMULATION: Fields = { 1: ["node", "text"], 2: ["session", "text"], 3: ["data", "bytes"] };

/** The number of a command's id. */
const ID = 1;

const NOT_JSON = new Refusal("malformed_json", "The data of a command must be JSON in UTF-8.");

type Values = Record<string, unknown>;

/** All commands of a frame, in order, up to the first violation. Never throws. Costs the frame's length. */
export function decodeProtobuf(frame: string | Uint8Array): readonly SessionCommand[] {
  if (typeof frame === "string" || frame.length === 0) return [VIOLATION];
  const reader = new ProtobufReader(frame);
  const commands: SessionCommand[] = [];
  while (!reader.isAtEnd && commands.at(-1) !== VIOLATION) {
    if (commands.length === COMMANDS_MAX) return [VIOLATION];
    reader.framed(() => commands.push(readCommand(reader)));
    if (reader.isBroken && commands.at(-1) !== VIOLATION) commands.push(VIOLATION);
  }
  return commands;
}

/** The commands that a client sends to its stream in a request of its own; undefined for anything else. */
export function decodeEmulation(
  body: Uint8Array,
): { session: string; node: string; data: Uint8Array } | undefined {
  const reader = new ProtobufReader(body);
  const values: Values = {};
  readFields(reader, EMULATION, values);
  const { session = "", node = "", data = new Uint8Array() } = values;
  if (reader.isBroken) return undefined;
  return { session: session as string, node: node as string, data: data as Uint8Array };
}

function readCommand(reader: ProtobufReader): SessionCommand {
  if (reader.isAtEnd) return { kind: "pong" };
  const values: Values = {};
  let id = 0;
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag >>> 3 === ID) id = reader.uint32(tag);
    else readField(reader, tag, FIELDS, values);
  }
  const method = METHODS.find(({ name }) => Object.hasOwn(values, name));
  if (reader.isBroken || method === undefined) return VIOLATION;
  const body = values[method.name] as Values;
  const data = jsonOf(body.data);
  const command = commandOf(method, id, body, data);
  const needsIt = command.kind === "publish" || (command.kind === "call" && isGiven(body.data));
  return needsIt && data === undefined ? { kind: "refused", id, refusal: NOT_JSON } : command;
}

function readFields(reader: ProtobufReader, fields: Fields, values: Values): void {
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    readField(reader, tag, fields, values);
  }
}

/** Of a field that stands there twice the last counts, and two messages become one. */
function readField(reader: ProtobufReader, tag: number, fields: Fields, values: Values): void {
  const field = fields[tag >>> 3];
  if (field === undefined) {
    reader.skip(tag);
    return;
  }
  const [name, kind] = field;
  if (kind === "there") {
    reader.skip(tag);
    values[name] = true;
  } else if (typeof kind === "string") values[name] = READ[kind](reader, tag);
  else if (Array.isArray(kind)) {
    const entry: Values = {};
    reader.message(tag, () => readFields(reader, kind[0], entry));
    const { key = "", value = kind[0] === HEADER_ENTRY ? "" : {} } = entry;
    // A key may be __proto__, which becomes a member like any other only where there is no prototype.
    const map = (values[name] ?? Object.create(null)) as Values;
    map[key as string] = value;
    values[name] = map;
  } else {
    const inner = (values[name] ?? {}) as Values;
    values[name] = inner;
    reader.message(tag, () => readFields(reader, kind as Fields, inner));
  }
}

function isGiven(data: unknown): boolean {
  return data instanceof Uint8Array && data.length > 0;
}

/** The text of data that is JSON, without space around it. */
function jsonOf(data: unknown): string | undefined {
  const text = data instanceof Uint8Array ? textOf(data) : undefined;
  if (text === undefined) return undefined;
  try {
    parseJson(text);
  } catch {
    return undefined;
  }
  // What is no space to JSON has not passed the parser.
  return text.trim();
}
