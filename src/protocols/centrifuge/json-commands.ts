// Decodes what a Centrifuge client sends in JSON: objects, one to a line, become commands.
import type { SessionCommand } from "../../relay/contracts/commands";
import { COMMANDS_MAX } from "../../relay/contracts/options";
import { parseJson, rawMember, withoutByteOrderMark, withoutNulls } from "../../relay/text/json";
import { commandOf, METHODS, VIOLATION } from "./commands";

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** All commands of a frame, in order, up to the first violation. Never throws. Costs the frame's length. */
export function decodeCommands(frame: string | Uint8Array): readonly SessionCommand[] {
  let text: string;
  try {
    text = typeof frame === "string" ? withoutByteOrderMark(frame) : utf8.decode(frame);
  } catch {
    return [VIOLATION];
  }
  const lines = text.split("\n", COMMANDS_MAX + 2);
  if (lines.length > 1 && lines.at(-1) === "") lines.pop();
  if (lines.length > COMMANDS_MAX) return [VIOLATION];
  const commands: SessionCommand[] = [];
  for (const line of lines) {
    const command = decodeCommand(line);
    commands.push(command);
    if (command === VIOLATION) break;
  }
  return commands;
}

function decodeCommand(line: string): SessionCommand {
  let value: unknown;
  try {
    value = parseJson(line);
  } catch {
    return VIOLATION;
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return VIOLATION;
  const object = value as Record<string, unknown>;
  const method = METHODS.find(({ name }) => Object.hasOwn(object, name) && object[name] !== null);
  if (method === undefined) return Object.keys(object).length === 0 ? { kind: "pong" } : VIOLATION;
  const { name, shape } = method;
  const { id = 0 } = object;
  const body = withoutNulls(object[name]);
  if (!shape.fits(body)) return VIOLATION;
  const hasData = Object.hasOwn(object[name] as object, "data");
  return commandOf(method, id, body, hasData ? rawMember(line, name, "data") : undefined);
}
