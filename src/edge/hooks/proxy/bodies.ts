// The bodies of requests to the backend, as Centrifugo's proxy writes them. Clients' data and meta go out with the bytes that came in.
import type { AskingClient } from "../../../relay/contracts/backend/questions";
import type { Introduction } from "../../../relay/contracts/commands";

export interface BodySettings {
  /** Whether the backend is told what it has attached to the connection. */
  readonly proxyMeta: boolean;
  /** Whether data go out in base64. */
  readonly proxyBinary: boolean;
}

/** How a client is connected, in the words of the Centrifuge protocol. */
export interface Wire {
  readonly transport: string;
  readonly protocol: string;
}

/** The parts of a body, each a member of a JSON object. */
interface Parts {
  readonly wire: Wire;
  readonly settings: BodySettings;
  /** Texts; those that are undefined are left out. */
  readonly texts?: Readonly<Record<string, string | undefined>>;
  readonly channels?: readonly string[] | undefined;
  /** JSON text. */
  readonly data?: string | undefined;
}

/** Everything about a question but which connection it comes from. */
export function bodyWithoutClient(
  { session }: AskingClient,
  { wire, settings, texts = {}, channels, data }: Parts,
): string {
  const { proxyMeta, proxyBinary } = settings;
  const encoding = proxyBinary ? "binary" : "json";
  const members = [JSON.stringify({ ...wire, encoding, ...texts, channels }).slice(1, -1)];
  if (data !== undefined) {
    members.push(
      proxyBinary ? `"b64data":"${Buffer.from(data).toString("base64")}"` : `"data":${data}`,
    );
  }
  if (proxyMeta && session?.meta !== undefined) members.push(`"meta":${session.meta}`);
  return `${members.join(",")}}`;
}

/** The body of a question. */
export function bodyOf({ id }: AskingClient, rest: string): string {
  return `{"client":${JSON.stringify(id)},${rest}`;
}

/** What of an introduction stands in the body. A registered client is known already, so its user does too. */
export function introductionTexts(
  { name, version }: Introduction,
  user: string,
): Readonly<Record<string, string | undefined>> {
  return { name: name || undefined, version: version || undefined, user: user || undefined };
}
