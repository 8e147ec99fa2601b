// The list of targets, in the order of the tables. A new target is one adapter file and one line here.
import {
  baton,
  batonCentrifuge,
  batonFourWorkers,
  batonJson,
  batonProtobuf,
  batonPusher,
  batonRedis,
  batonSqlite,
  batonSse,
  batonTwoNodes,
  batonTwoWorkers,
} from "./baton";
import { centrifugo, centrifugoStreams } from "./centrifugo";
import { control, controlStreams, controlStreamTurns, controlWaves } from "./control";
import { socketIo } from "./socket-io";
import type { Target } from "./target";
import { wsLoop } from "./ws-loop";

/** The targets that the command line offers. */
export const TARGETS: readonly Target[] = [baton, control, centrifugo, wsLoop, socketIo];

/** Baton and the control in other ways, for the scenarios that name them. */
const VARIANTS: readonly Target[] = [
  controlWaves,
  controlStreams,
  controlStreamTurns,
  centrifugoStreams,
  batonJson,
  batonCentrifuge,
  batonProtobuf,
  batonPusher,
  batonSse,
  batonTwoWorkers,
  batonFourWorkers,
  batonSqlite,
  batonRedis,
  batonTwoNodes,
];

/** The name of the target that all others are compared with. */
export const CONTROL = control.name;

/** The target of that name; throws for a name that is not in the list. */
export function targetNamed(name: string): Target {
  const target = [...TARGETS, ...VARIANTS].find((each) => each.name === name);
  if (target === undefined) throw new Error(`no target is named ${name}`);
  return target;
}

/** Both forms of the Centrifuge protocol. */
const CENTRIFUGE_FORMS = [batonCentrifuge.name, batonProtobuf.name];

/** Baton's WebSocket protocols besides the plain one. */
export const OTHER_WIRES = [batonJson.name, ...CENTRIFUGE_FORMS, batonPusher.name];

/** Those of them whose frames are text. */
export const TEXT_WIRES = OTHER_WIRES.filter((name) => name !== batonProtobuf.name);

/** The names of targets, with Baton's protocols that need no registration after its own. */
export function withForms(names: readonly string[]): string[] {
  const forms = [...CENTRIFUGE_FORMS, batonPusher.name];
  return names.flatMap((name) => (name === baton.name ? [name, ...forms] : [name]));
}

/** The names of targets, with Baton's other WebSocket protocols after its own. */
export function withWires(names: readonly string[]): string[] {
  return names.flatMap((name) => (name === baton.name ? [name, ...OTHER_WIRES] : [name]));
}

/** The names of targets, with the control in waves after the control. */
export function withWaves(names: readonly string[]): string[] {
  return names.flatMap((name) => (name === CONTROL ? [name, controlWaves.name] : [name]));
}
