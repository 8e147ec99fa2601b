// Baton itself, from src/main.ts with its default settings.
// Only what the bench needs is set: the port, and a log level that leaves no line for each request.
import { join } from "node:path";
import { PLAIN, type Target } from "./target";

export const baton: Target = {
  name: "baton",
  title: "Baton",
  about: "src/main.ts with its default settings",
  command: ["bun", join(import.meta.dir, "../../src/main.ts")],
  env: { HOST: "127.0.0.1", BATON_LOG_LEVEL: "warn" },
  wire: PLAIN,
  path: () => {
    throw new Error("Baton gives the path of each connection");
  },
  registration: {
    path: "/register",
    body: (user) => JSON.stringify({ user_id: user }),
    addressIn: (answer) => {
      const path = /"url":"ws:\/\/[^/"]+(\/[^"]+)"/.exec(answer)?.[1];
      if (path === undefined) throw new Error(`no address in ${answer.slice(0, 200)}`);
      return path;
    },
  },
};
