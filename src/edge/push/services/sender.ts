// Sends one push to one device: encrypts it (RFC 8291), signs the request (RFC 8292), and says what the push service's answer means.
import type { PushContent } from "../../../relay/contracts/publication";
import { retryAfterMs } from "../../hooks/retry-after";
import type { Subscription } from "../devices/devices";
import { type Addresses, obstacleOf } from "../devices/endpoint";

/** How long a push service may take to answer. */
const TIMEOUT_MS = 10_000;

/** What is read of an answer, so that its connection can be used again; nothing in it is needed. */
const ANSWER_BYTES_MAX = 8_192;

/** A push as it goes out, apart from the device. */
export interface PushMessage {
  /** JSON text. */
  readonly payload: string;
  readonly ttlS: number;
  readonly urgency: NonNullable<PushContent["urgency"]>;
  /** Of its own topic, not the publication's: it takes the place of an older one with the same. */
  readonly collapse: string | undefined;
}

/**
 * What became of a request. "accepted": the service has it. "gone": the subscription is no more. "refused": another time would end
 * alike; without a status nothing was sent, since the keys of the device are wrong. "later": the service is busy or out of reach, and says
 * how long for (undefined where it does not).
 */
export type PushResult =
  | { readonly kind: "accepted" | "gone"; readonly status: number }
  | { readonly kind: "refused"; readonly status: number | undefined }
  | {
      readonly kind: "later";
      readonly status: number | undefined;
      readonly waitMs: number | undefined;
    };

interface PushSenderOptions {
  readonly vapid: {
    readonly subject: string;
    readonly publicKey: string;
    readonly privateKey: string;
  };
  readonly addresses: Addresses;
  readonly now: () => number;
}

export class PushSender {
  readonly #options: PushSenderOptions;

  constructor(options: PushSenderOptions) {
    this.#options = options;
  }

  /** Never rejects. A redirect is refused: it would lead to an address that nobody has checked. */
  async send({ endpoint, keys }: Subscription, message: PushMessage): Promise<PushResult> {
    const { addresses, now } = this.#options;
    // As the network is given it: web-push reads its text in another way, and signs for the host that it finds.
    const url = new URL(endpoint);
    const request = await this.#requestOf({ endpoint: url.href, keys }, message);
    if (request === undefined) return { kind: "refused", status: undefined };
    try {
      if ((await obstacleOf(url, addresses)) !== undefined) return LATER;
      const response = await fetch(url, {
        ...request,
        method: "POST",
        redirect: "manual",
        decompress: false,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const result = resultOf(response, now());
      await readSome(response);
      return result;
    } catch {
      return LATER;
    }
  }

  /** Undefined where nothing can be encrypted with the keys of the device, which is no fault of its service. */
  async #requestOf({ endpoint, keys }: Subscription, message: PushMessage) {
    const { payload, ttlS, urgency, collapse } = message;
    // It takes 13 MB and 50 ms of a start, and most relays send no push.
    const { default: webPush } = await import("web-push");
    try {
      const { headers, body } = webPush.generateRequestDetails({ endpoint, keys }, payload, {
        vapidDetails: this.#options.vapid,
        TTL: ttlS,
        urgency,
        ...(collapse !== undefined && { topic: topicHeader(collapse, keys.auth) }),
      });
      const { "Content-Length": _, ...others } = headers;
      return { headers: others as Record<string, string>, body: new Uint8Array(body as Buffer) };
    } catch {
      return undefined;
    }
  }
}

/** RFC 8030, 5.4: characters of the base64url alphabet. */
const TOPIC_CHARACTERS = 32;

/**
 * What a push service sees of a push's topic, whose name may be a person's. Only the device and the relay know its secret, so a service
 * can neither guess the name nor find out which devices have the same.
 */
function topicHeader(topic: string, secret: string): string {
  const mac = new Bun.CryptoHasher("sha256", Buffer.from(secret, "base64url"));
  return mac.update(topic).digest("base64url").slice(0, TOPIC_CHARACTERS);
}

const LATER: PushResult = { kind: "later", status: undefined, waitMs: undefined };

/** RFC 8030, section 5, and what services do beyond it. */
function resultOf({ status, headers }: Response, now: number): PushResult {
  if (status >= 200 && status < 300) return { kind: "accepted", status };
  if (status === 404 || status === 410) return { kind: "gone", status };
  if (status === 429 || status >= 500) {
    return { kind: "later", status, waitMs: retryAfterMs(headers, now) };
  }
  return { kind: "refused", status };
}

/** A fault while this is read changes nothing: the answer has come. */
async function readSome({ body }: Response): Promise<void> {
  if (body === null) return;
  const reader = body.getReader();
  try {
    let bytes = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      bytes += value.length;
      if (bytes > ANSWER_BYTES_MAX) break;
    }
    await reader.cancel();
  } catch {
    // The time was over, or the service has cut it off.
  }
}
