// The list of targets, in the order of the tables. A new target is one adapter file and one line here.
import {
  baton,
  batonCentrifuge,
  batonFour,
  batonJson,
  batonNodes,
  batonRedis,
  batonSqlite,
  batonSse,
  batonTwo,
} from "./baton";
import { control } from "./control";
import { socketIo } from "./socket-io";
import type { Target } from "./target";
import { wsLoop } from "./ws-loop";

export const TARGETS: readonly Target[] = [baton, control, wsLoop, socketIo];

/** Other wires of Baton, and more processes, for the scenarios that name them. */
const MORE: readonly Target[] = [
  batonJson,
  batonCentrifuge,
  batonSse,
  batonTwo,
  batonFour,
  batonSqlite,
  batonRedis,
  batonNodes,
];

/** The target that all others are compared with. */
export const CONTROL = control.name;

/** The target of that name; throws for a name that is not in the list. */
export function targetNamed(name: string): Target {
  const target = [...TARGETS, ...MORE].find((each) => each.name === name);
  if (target === undefined) throw new Error(`no target is named ${name}`);
  return target;
}
