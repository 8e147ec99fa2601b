// The OpenAPI page: /openapi for people, /openapi/json for tools. The relay serves everything that the page loads, so
// that it also works on a machine without internet access.
// Not from the package itself, which also has what makes schemas of a program's types: it would take a fifth of the memory of all code.
import { toOpenAPISchema } from "@elysiajs/openapi/openapi";
import { SwaggerUIRender } from "@elysiajs/openapi/swagger";
import { type AnyElysia, Elysia } from "elysia";
import swaggerStyle from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import swaggerScript from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import { CLOSES } from "../../relay/contracts/protocol";
import { version } from "../../version";
import { type ApiDescription, completeDocument } from "../http/documents";

/** The `security` of a guarded route: either header is accepted. */
export const KEY: Record<string, string[]>[] = [{ apiKey: [] }, { authorization: [] }];

const closeRows = Object.values(CLOSES)
  .map(({ code, reason, reconnect }) => `| ${code} | ${reason} | ${reconnect ? "yes" : "no"} |`)
  .join("\n");

/** Describes what a WebSocket carries after its handshake, which OpenAPI has no terms for. */
export const SOCKET_TEXT = `Upgrades to a WebSocket (RFC 6455, version 13) for the id of a registration. A second socket with
the same id replaces the first.

**From the relay**: every publication to the connection's topics, as one text frame that is the message itself.

**To the relay**: the text frame \`{"topics":["a","b"]}\` replaces the connection's topics. The relay answers any other frame with
\`{"error":{"code":"…","message":"…"}}\` and changes nothing.

**With format=json** a publication is \`{"topic":"a","data":…,"offset":7,"epoch":"abcdefgh"}\`, without offset and epoch where
the topic keeps no history. The client may say which positions it has,
\`{"topics":["a","b"],"since":{"a":{"offset":5,"epoch":"abcdefgh"}}}\`. The reply is
\`{"topics":{"a":{"offset":7,"epoch":"abcdefgh","recovered":true},"b":{"offset":2,"epoch":"hgfedcba"}}}\`; after it come the
publications that the client missed, then live ones. With \`"recovered":false\` it gets none of those it missed, and should
reload its state. The frame \`{}\` is answered with \`{}\`, for pages that ask whether they are connected.

**With max_bytes** as well, a publication whose frame is larger comes as
\`{"topic":"a","data":null,"too_large":40053,"offset":8,"epoch":"abcdefgh"}\`, where too_large is the size of that frame. It
is for clients whose library closes the connection at a large frame.

**Close codes**, besides 1002 for a frame that breaks the protocol, 1007 for text that is not UTF-8, 1009 for a frame over
BATON_FRAME_BYTES, and 1006 for a slow consumer that is cut off:

| code | reason | reconnect? |
| --- | --- | --- |
${closeRows}`;

/** Describes what a stream carries. */
export const STREAM_TEXT = `Opens a stream of Server-Sent Events for the id of a registration. In each event, \`event\` is the topic, \`data\`
the message, and \`id\` has the position of each topic of the stream. EventSource reconnects by itself and sends the last id
(Last-Event-ID). It then gets what it missed, in order, and after that live publications. If the relay cannot give it all of
that, an event without a name says so: \`{"topics":{"a":{"offset":7,"epoch":"abcdefgh","recovered":false}}}\`.

A request with \`Accept: text/event-stream\` is not refused for what will pass (429, 503): it gets a stream that says when to
reconnect, and ends.

A registration whose stream was lost stays valid for BATON_REGISTRATION_TTL_MS. The relay ends the stream of a client that
reads too slowly; the client gets what it missed when it reconnects. Server-Sent Events cannot carry a carriage return: it
arrives as a line feed, except with format=json. With format=json, max_bytes is the largest event, with all its lines, that the
client takes: a larger publication comes with \`"data":null,"too_large":40053\` in its envelope.`;

const INFO = {
  title: "Baton",
  description: `Register a client for a user, connect it with a WebSocket, and choose topics. A message that is then
published to a topic reaches its subscribers at once and in order. Every error has a stable code and a sentence.`,
  version,
};

/** Imported as files, which `bun run build` puts into the binary. */
const ASSETS = [
  { path: "/openapi/swagger-ui.css", file: swaggerStyle, type: "text/css; charset=utf-8" },
  {
    path: "/openapi/swagger-ui-bundle.js",
    file: swaggerScript,
    type: "text/javascript; charset=utf-8",
  },
];

function jsonOf(text: string): Response {
  return new Response(text, { headers: { "content-type": "application/json;charset=utf-8" } });
}

/** The page, its document of the routes, and the two files of Swagger UI. All paths of the server begin with the prefix. */
export function openapiPage(prefix: string) {
  const hidden = { detail: { hide: true } };
  const page = SwaggerUIRender(INFO, {
    url: "openapi/json",
    dom_id: "#swagger-ui",
    autoDarkMode: true,
    theme: `${prefix}/openapi/swagger-ui.css`,
    cdn: `${prefix}/openapi/swagger-ui-bundle.js`,
  });
  // The document is the same for everybody, and describing all routes takes a millisecond or two.
  let document: string | undefined;
  const app = new Elysia()
    .get(
      "/openapi",
      () => new Response(page, { headers: { "content-type": "text/html; charset=utf8" } }),
      hidden,
    )
    .get(
      "/openapi/json",
      () => {
        document ??= documentOf(app, prefix);
        return jsonOf(document);
      },
      hidden,
    );
  for (const { path, file, type } of ASSETS) {
    app.get(
      path,
      () =>
        new Response(Bun.file(file), {
          headers: {
            "content-type": type,
            "cache-control": "public, max-age=86400",
            // Only answers to pages have CORS headers, and a cache may keep this one for both.
            vary: "Origin",
          },
        }),
      hidden,
    );
  }
  return app;
}

/** The document of all routes of the server that this app is a part of, as JSON. */
function documentOf(app: AnyElysia, prefix: string): string {
  const { paths, components } = toOpenAPISchema(app);
  const description = {
    info: INFO,
    ...(prefix !== "" && { servers: [{ url: prefix }] }),
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
      ...components,
    },
    openapi: "3.1.2",
    paths,
  };
  completeDocument(description as ApiDescription);
  return JSON.stringify(description);
}
