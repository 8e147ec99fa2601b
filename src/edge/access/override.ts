// What `override` of a subscription asks for: tokens, answers of the backend and the server API have it alike, as with Centrifugo.
import type { Hidden } from "../../relay/contracts/tokens";

/** What each part of it is about. */
const PARTS = [
  "presence",
  "join_leave",
  "force_push_join_leave",
  "force_positioning",
  "force_recovery",
] as const;

type Part = (typeof PARTS)[number];

/**
 * What it hides of a client; undefined: nothing. Whatever is neither left out nor `{"value": true}` hides, so that a mistake shows
 * nobody who was to be hidden.
 */
export function hiddenBy(override: unknown): Hidden | undefined {
  const presence = toggled(override, "presence") === false;
  const joinLeave = toggled(override, "join_leave") === false;
  return presence || joinLeave ? { presence, joinLeave } : undefined;
}

/** The parts of it that the topic's rule decides here for all of its subscribers. */
export function ruledParts(override: unknown): readonly Part[] {
  return PARTS.filter((part) => {
    const value = toggled(override, part);
    const mayHide = part === "presence" || part === "join_leave";
    return value === true || (value === false && !mayHide);
  });
}

function toggled(override: unknown, part: Part): boolean | undefined {
  const given = memberOf(override, part) ?? undefined;
  return given === undefined ? undefined : memberOf(given, "value") === true;
}

function memberOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}
