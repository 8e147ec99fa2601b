// The OpenAPI page: /openapi for people, /openapi/json for tools. Everything it loads comes from here,
// so that it also works on a machine without the internet.
import { openapi } from "@elysiajs/openapi";
import { Elysia } from "elysia";
import { version } from "../../../package.json";
import { CLOSES } from "../../relay/contracts/errors";

/** The security entry of a guarded route: either header will do. */
export const KEY: Record<string, string[]>[] = [{ apiKey: [] }, { authorization: [] }];

const closes = Object.values(CLOSES)
  .map(({ code, reason, comeBack }) => `| ${code} | ${reason} | ${comeBack ? "yes" : "no"} |`)
  .join("\n");

/** What a WebSocket route does beyond its handshake, which OpenAPI has no words for. */
export const SOCKET_TEXT = `Upgrades to a WebSocket (RFC 6455, version 13) for the id of a registration. A second socket with
the same id replaces the first.

**From the relay**: every publication to the connection's topics, as one text frame that is the message itself.

**To the relay**: \`{"topics":["a","b"]}\` as a text frame replaces the connection's topics. Any other frame is answered by
\`{"error":{"code":"…","message":"…"}}\` and changes nothing.

**With format=json** a publication is \`{"topic":"a","data":…,"offset":7,"epoch":"abcdefgh"}\`, without offset and epoch where
the topic keeps no history. The client may say what it has,
\`{"topics":["a","b"],"since":{"a":{"offset":5,"epoch":"abcdefgh"}}}\`, and is answered by
\`{"topics":{"a":{"offset":7,"epoch":"abcdefgh","recovered":true},"b":{"offset":2,"epoch":"hgfedcba"}}}\`, after it what it
missed, then live. With \`"recovered":false\` it gets nothing of what it missed, and should load its state anew.

**Close codes**: besides 1009 for a frame over BATON_FRAME_BYTES and 1006 for a slow consumer that is cut off:

| code | reason | come back? |
| --- | --- | --- |
${closes}`;

/** What a stream carries. */
export const STREAM_TEXT = `Server-Sent Events for the id of a registration. Of an event, \`event\` is the topic, \`data\` the
message, and \`id\` carries the position of each topic of the stream. EventSource comes back by itself and sends the last id
(Last-Event-ID); it then gets what it missed, in order, then live. If it cannot be given all of that, an event without a
name says so: \`{"topics":{"a":{"offset":7,"epoch":"abcdefgh","recovered":false}}}\`.

A registration whose stream was lost waits BATON_REGISTRATION_TTL_MS for it to come back. A slow reader is ended, and gets
what it missed when it comes back. Server-Sent Events cannot carry a carriage return: it arrives as a line feed, unless
format=json.`;

const INTRODUCTION = `Register a client for a user, connect it with a WebSocket, choose topics; what is then published
to a topic reaches its subscribers at once and in order. Every error has a stable code and a sentence.`;

const ASSETS = {
  "swagger-ui.css": "text/css; charset=utf-8",
  "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
} as const;

/** The page, its description of the routes, and the two files of Swagger UI. */
export function documentation() {
  const app = new Elysia();
  for (const [file, type] of Object.entries(ASSETS)) {
    app.get(
      `/openapi/${file}`,
      () =>
        new Response(Bun.file(Bun.resolveSync(`swagger-ui-dist/${file}`, import.meta.dir)), {
          headers: { "content-type": type, "cache-control": "public, max-age=86400" },
        }),
      { detail: { hide: true } },
    );
  }
  return app.use(
    openapi({
      path: "/openapi",
      provider: "swagger-ui",
      swagger: {
        version,
        theme: "/openapi/swagger-ui.css",
        cdn: "/openapi/swagger-ui-bundle.js",
      },
      documentation: {
        info: { title: "Baton", version, description: INTRODUCTION },
        tags: [{ name: "relay", description: "The message relay" }],
        components: {
          securitySchemes: {
            apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
            authorization: {
              type: "apiKey",
              in: "header",
              name: "Authorization",
              description: "`apikey <key>`",
            },
          },
        },
      },
    }),
  );
}
