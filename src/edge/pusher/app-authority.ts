// What the clients of an app may do: their backend signs it with the app's secret, for one connection and one channel. Only what was
// signed counts, with the bytes that came.
import type { Proof } from "../../relay/contracts/commands";
import { Refusal } from "../../relay/contracts/errors";
import type { Authority, AuthorityClient, TopicGrant } from "../../relay/contracts/tokens";
import { fitsBytes, toUser } from "../../relay/text/checks";
import { rawMember } from "../../relay/text/json";
import { isPersonal, personalTopic } from "../../relay/topics/permissions";
import type { PusherApps } from "./apps";
import type { PusherFormat } from "./names";
import { channelText, isAuthorized, userText } from "./signatures";

/** What a backend says about a user. */
const USER_BYTES_MAX = 10_240;

/** What is signed besides the connection. */
const CHANNEL = ", this channel and its channel_data";
const USER = " and its user_data";

interface AppAuthorityOptions {
  readonly apps: Pick<PusherApps, "byKey">;
  readonly kindOf: PusherFormat["kindOf"];
  readonly publicationsMax: number;
}

export class AppAuthority implements Authority {
  readonly #key: string;
  readonly #options: AppAuthorityOptions;

  /** `key` is that of the app. */
  constructor(key: string, options: AppAuthorityOptions) {
    this.#key = key;
    this.#options = options;
  }

  get publicationsMax(): number {
    return this.#options.publicationsMax;
  }

  topic(client: AuthorityClient, topic: string, proof: Proof): TopicGrant | Refusal | undefined {
    const kind = this.#options.kindOf(topic);
    if (isPersonal(topic)) {
      const isOwn = topic === personalTopic(client.user);
      return isOwn
        ? {}
        : denied("Only the user whose channel this is may have it, once signed in.");
    }
    if (kind === "public") return undefined;
    const { signature, text } = proof;
    const isSigned = this.#isSigned(channelText(client.id, topic, text), signature);
    if (kind !== "presence") {
      // Some backends sign data that mean nothing here, and some add it unsigned.
      const isWithoutData = () => this.#isSigned(channelText(client.id, topic), signature);
      return isSigned || isWithoutData() ? {} : this.#notSigned(CHANNEL);
    }
    if (!isSigned) return this.#notSigned(CHANNEL);
    if (text !== undefined) return memberOf(text);
    if (client.user !== "") return { member: { user: client.user, info: client.session?.info } };
    return denied("Without channel_data, a presence channel is for clients that have signed in.");
  }

  user(client: AuthorityClient, { signature, text = "" }: Proof) {
    if (!this.#isSigned(userText(client.id, text), signature)) return this.#notSigned(USER);
    if (!fitsBytes(text, USER_BYTES_MAX)) {
      return denied(`user_data must have at most ${USER_BYTES_MAX} bytes.`);
    }
    const id = parsed(text)?.id;
    const user =
      typeof id === "string"
        ? toUser(id)
        : denied("user_data must have an id, which must be a text.");
    return user instanceof Refusal ? user : { user, info: rawMember(text, "user_info") };
  }

  /** It may have another secret by now, or be gone. */
  get #app() {
    return this.#options.apps.byKey(this.#key);
  }

  #isSigned(text: string | undefined, signature: string): boolean {
    const app = this.#app;
    return app !== undefined && isAuthorized(app, text, signature);
  }

  #notSigned(what: string): Refusal {
    return denied(
      this.#app === undefined
        ? "There is no app with the key of this connection any more (BATON_PUSHER_APPS)."
        : `The signature (auth) is not that of this app for this connection${what}.`,
    );
  }
}

/** For a client that must not connect at all. */
export function closedAuthority(code: number, reason: string): Authority {
  const refuse = () => denied(reason);
  return { closed: { code, reason }, publicationsMax: 0, topic: refuse, user: refuse };
}

/** Who a client is in a channel, as its backend has signed. */
function memberOf(text: string): TopicGrant | Refusal {
  const id = parsed(text)?.user_id;
  const isId = typeof id === "string" || typeof id === "number";
  const user = isId ? toUser(id) : denied("channel_data must have a user_id.");
  if (user instanceof Refusal) return user;
  return { member: { user, info: rawMember(text, "user_info") } };
}

/** What a JSON text says: nothing but an object has members. Undefined for what is no JSON. */
function parsed(text: string): Readonly<Record<string, unknown>> | null | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function denied(message: string): Refusal {
  return new Refusal("permission_denied", message);
}
