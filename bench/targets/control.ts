// The controls: what bare Bun can do with the same work, with no framework, no registrations and no checks. `control` is the
// floor that every target is compared with. The others show what bare Bun can do in other ways.
import { join } from "node:path";
import { EVENTS, PLAIN, type Target } from "./target";

const serverFile = (name: string) => join(import.meta.dir, "servers", name);

/** Native publish, for each publication when it comes. */
export const control: Target = {
  name: "control",
  title: "Bare Bun (control)",
  command: ["bun", serverFile("control.ts")],
  env: {},
  wire: PLAIN,
  path: (user) => (user === undefined ? "/ws" : `/ws?user=${user}`),
};

/** Native publish, in waves. */
export const controlWaves: Target = {
  ...control,
  name: "control-waves",
  title: "Bare Bun in waves",
  command: ["bun", serverFile("control-waves.ts")],
};

function streams(per: "publication" | "turn"): Target {
  return {
    ...control,
    name: `control-sse-${per}`,
    title: `Bare Bun, once a ${per}`,
    command: ["bun", serverFile("control-streams.ts"), per],
    wire: EVENTS,
    path: () => "/sse",
  };
}

export const controlStreams = streams("publication");
export const controlStreamTurns = streams("turn");
