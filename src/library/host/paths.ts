// The paths of Baton's routes in the server of another app. Bun's own router hands their requests to Baton, past the app.
import type { Settings } from "../../settings/definitions";

/** As Bun's router takes them: `:name` stands for one part, and `*` at the end for one or more. */
const ALWAYS: readonly string[] = [
  "/api",
  "/api/:method",
  "/client.js",
  "/connection/:transport",
  "/connections/:id",
  "/emulation",
  "/explain",
  "/health",
  "/health/:check",
  "/metrics",
  "/openapi",
  "/openapi/:file",
  "/publications/:topic/:offset",
  "/publish",
  "/register",
  "/register/:id",
  "/sse/:id",
  "/topics",
  "/topics/:topic/:part",
  "/users",
  "/users/:user/:part",
  "/users/:user/devices/:device",
  "/ws/:id",
];

const CONSOLE: readonly string[] = ["/console", "/console/:file"];

const PUSHER: readonly string[] = [
  "/app/:key",
  "/apps/:id/:part",
  "/apps/:id/channels/:channel",
  "/apps/:id/channels/:channel/users",
  // Not every library escapes a slash in the id of a user.
  "/apps/:id/users/*",
];

/** The paths of a relay with these settings. */
export function pathsOf({ hasConsole, pusherApps }: Settings): string[] {
  return [...ALWAYS, ...(hasConsole ? CONSOLE : []), ...(pusherApps.length > 0 ? PUSHER : [])];
}

/** The first route of Baton's that is in none of its paths. Those at "/" and "/*" are only for a server of its own. */
export function unreachable(
  routes: readonly string[],
  paths: readonly string[],
): string | undefined {
  return routes.find(
    (route) => route !== "/" && route !== "/*" && !paths.some((path) => isWithin(route, path)),
  );
}

/** A route of the app. */
interface OwnRoute {
  readonly method: string;
  readonly path: string;
}

/**
 * The first route of the app whose requests would all reach Baton instead, and Baton's path; undefined where there is none. A route of
 * the app that is wider, such as /*, keeps what Baton has no path for.
 */
export function clash(
  own: readonly OwnRoute[],
  paths: readonly string[],
): { readonly route: OwnRoute; readonly path: string } | undefined {
  for (const route of own) {
    const path = paths.find((one) => isWithin(route.path, one));
    if (path !== undefined) return { route, path };
  }
  return undefined;
}

/** Whether one path stands for nothing that the other one does not stand for. */
export function isWithin(path: string, other: string): boolean {
  if (path.includes("*")) return false;
  const parts = path.split("/");
  const others = other.split("/");
  const hasLength = other.endsWith("*")
    ? parts.length >= others.length
    : parts.length === others.length;
  return hasLength && others.every((part, i) => /^[:*]/.test(part) || part === parts[i]);
}
