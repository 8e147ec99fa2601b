// GET /client.js: the client of baton/client as a module, for pages without a bundler. It is built at the first request, from its
// source, which the relay has as a text: it runs nothing of it.
import { hash } from "node:crypto";
import { Elysia } from "elysia";
// @ts-expect-error: TypeScript knows no imports of texts.
import source from "../../client/client.ts" with { type: "text" };

const NAME = "/client.ts";

interface Script {
  readonly text: string;
  readonly etag: string;
}

async function build(): Promise<Script> {
  const { outputs } = await Bun.build({
    entrypoints: [NAME],
    // Its only import is of types, of which nothing is left.
    files: { [NAME]: String(source) },
    target: "browser",
    minify: true,
  });
  const text = (await outputs[0]?.text()) ?? "";
  return { text, etag: `"${hash("sha256", text, "base64url")}"` };
}

export function clientScriptRoute() {
  // Built once in a process. One that fails is tried again at the next request.
  let script: Promise<Script> | undefined;
  const scriptOnce = () => {
    script ??= build();
    script.catch(() => {
      script = undefined;
    });
    return script;
  };
  return new Elysia().get(
    "/client.js",
    async ({ request }) => {
      const { text, etag } = await scriptOnce();
      const headers = {
        etag,
        // Whoever gets a newer one an hour later misses nothing: clients of any age work with any relay.
        "cache-control": "public, max-age=3600",
        // Only answers to pages have CORS headers, and a cache may keep this one for both.
        vary: "Origin",
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
      };
      const known = request.headers.get("if-none-match");
      if (known?.includes(etag)) return new Response(null, { status: 304, headers });
      return new Response(text, {
        headers: { ...headers, "content-type": "text/javascript; charset=utf-8" },
      });
    },
    { detail: { hide: true } },
  );
}
