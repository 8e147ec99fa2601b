// POST /publish and GET /health, for the targets that run on Node.
// Plain JavaScript, because Node 20 cannot run TypeScript.
import { createServer } from "node:http";

/**
 * An HTTP server for one target. `publish` returns the number of connections it sent to.
 * @param {(publication: { topic: string, message: string, user_id?: number }) => number} publish
 */
export function publicationServer(publish) {
  return createServer((request, response) => {
    if (request.url === "/health") {
      response.end("ok");
      return;
    }
    if (request.url !== "/publish" || request.method !== "POST") {
      response.writeHead(404).end();
      return;
    }
    let text = "";
    request.setEncoding("utf8");
    request.on("data", (part) => {
      text += part;
    });
    request.on("end", () => {
      const body = JSON.stringify({ delivered: publish(JSON.parse(text)) });
      response.writeHead(200, {
        "Content-Type": "application/json",
        "Content-Length": Buffer.byteLength(body),
      });
      response.end(body);
    });
  });
}
