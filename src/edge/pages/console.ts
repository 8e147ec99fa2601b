// GET /console: the page for people who run the relay. Bun bundles it: where the relay runs from its source at the first request,
// and where it is one file when that is built. The page has no data of its own; what it shows it asks for with an API key.
import { Elysia } from "elysia";
// The page's bundle in one file; its source otherwise.
import page from "../../console/index.html";
import { Refusal } from "../../relay/contracts/errors";
import { Refused } from "../http/refusal";

/** A file of the page, by the end of its path. */
interface ConsoleFile {
  readonly name: string;
  readonly type: string;
  readonly body: string | Uint8Array<ArrayBuffer>;
}

/** Nothing but what the relay serves itself, no inline script or style, and in no other page. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const HEADERS = {
  "content-security-policy": POLICY,
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(), geolocation=(), microphone=()",
};

/** Names of files that the page refers to: they have a hash of their content in them, so they stay valid for good. */
const CACHED = "public, max-age=31536000, immutable";

/** The page's own folder, which proxies that serve the relay under a path of theirs can rewrite. */
const FOLDER = "console/";

export function consoleRoutes() {
  // Bundled once in a process. One that fails is tried again at the next request.
  let files: Promise<ReadonlyMap<string, ConsoleFile>> | undefined;
  const filesOnce = () => {
    files ??= bundle();
    files.catch(() => {
      files = undefined;
    });
    return files;
  };
  const respond = async (request: Request, name: string): Promise<Response> => {
    checkSite(request);
    const file = (await filesOnce()).get(name);
    if (file === undefined)
      throw new Refused(new Refusal("not_found", "The console has no such file."));
    const cacheControl = name === "" ? "no-cache" : CACHED;
    return new Response(file.body, {
      headers: { ...HEADERS, "content-type": file.type, "cache-control": cacheControl },
    });
  };
  const hidden = { detail: { hide: true } };
  return new Elysia()
    .get("/console", ({ request }) => respond(request, ""), hidden)
    .get("/console/:file", ({ request, params }) => respond(request, params.file), hidden);
}

/** Refuses (`forbidden_origin`) requests that pages of other sites make. */
function checkSite({ headers }: Request): void {
  const site = headers.get("sec-fetch-site");
  const isForeign = site === "cross-site" || site === "same-site";
  // A link on another page may lead here.
  if (!isForeign || headers.get("sec-fetch-mode") === "navigate") return;
  throw new Refused(new Refusal("forbidden_origin", "The console is for its own page alone."));
}

async function bundle(): Promise<ReadonlyMap<string, ConsoleFile>> {
  const files = page.files === undefined ? await built(page.index) : await embedded(page.files);
  const html = files.find(({ type }) => type.startsWith("text/html"));
  if (html === undefined) throw new Error("the console has no page");
  const rest = files.filter((file) => file !== html);
  // The bundler names other files from the page's own folder, or from the root.
  const names = rest.map(({ name }) => name).join("|");
  const text = String(html.body).replaceAll(
    new RegExp(`(href|src)="(?:\\.?/)?(${names})"`, "g"),
    `$1="${FOLDER}$2"`,
  );
  return new Map([
    ["", { ...html, body: text }],
    ...rest.map((file) => [file.name, file] as const),
  ]);
}

async function built(entry: string): Promise<ConsoleFile[]> {
  const { outputs } = await Bun.build({ entrypoints: [entry], target: "browser", minify: true });
  return Promise.all(
    outputs.map(async (output) => ({
      name: nameOf(output.path),
      type: output.type,
      body: await output.text(),
    })),
  );
}

async function embedded(files: NonNullable<typeof page.files>): Promise<ConsoleFile[]> {
  return Promise.all(
    files.map(async ({ path, headers }) => ({
      name: nameOf(path),
      type: headers["content-type"],
      body: await Bun.file(path).text(),
    })),
  );
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
