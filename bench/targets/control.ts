// The control: what bare Bun can do with the same work. It is the floor that every target is compared with.
// Its server is servers/control.ts: Bun.serve with native publish, no framework, no registrations, no checks.
import { join } from "node:path";
import { PLAIN, type Target } from "./target";

export const control: Target = {
  name: "control",
  title: "Control (bare Bun)",
  command: ["bun", join(import.meta.dir, "servers/control.ts")],
  env: {},
  wire: PLAIN,
  path: (user) => (user === undefined ? "/ws" : `/ws?user=${user}`),
};
