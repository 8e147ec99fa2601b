// The control: what Bun itself can do with the same work, so the floor that Baton is compared with.
// Its server is control.server.ts.
import { join } from "node:path";
import { PLAIN, type Target } from "./target";

export const control: Target = {
  name: "control",
  title: "Control (bare Bun)",
  about:
    "Bun.serve with native publish and nothing else: no framework, no registrations, no checks",
  command: ["bun", join(import.meta.dir, "control.server.ts")],
  env: {},
  wire: PLAIN,
  path: (user) => (user === undefined ? "/ws" : `/ws?user=${user}`),
};
