// The settings of Web Push, of the table in definitions.ts: without VAPID keys, no device is kept and nothing is pushed.
import { INT32_MAX, list, text, whole } from "../kinds";
import { isPrivateKey, isPublicKey, isSubject } from "./vapid";

/** Shorter ones can be guessed by whoever has a copy of the store. */
const DEVICES_SECRET = /^[\x21-\x7e]{32,512}$/;

const DEVICES_KEYS_MAX = 10;

/** 400 days, after which browsers' own expiry of what pages keep has passed too. */
const DEVICE_TTL_MS_MAX = 34_560_000_000;

const DEVICES_KEYS = list({
  variable: "BATON_DEVICES_KEY",
  secret: "lines",
  default: "",
  allowed: `a comma-separated list of at most ${DEVICES_KEYS_MAX} secrets of 32 to 512 visible ASCII characters`,
  accepts: (item) => DEVICES_SECRET.test(item),
  max: DEVICES_KEYS_MAX,
  description:
    "The secret with which devices and pushes that wait are encrypted in the store (AES-256-GCM). To replace it, put the new one in front of the old one: the first encrypts, all of them decrypt. Devices whose secret is gone are not reached until their pages register them again.",
});

export const PUSH = {
  vapidPublicKey: text({
    variable: "BATON_VAPID_PUBLIC_KEY",
    allowed: "an uncompressed point of P-256 in base64url, 87 characters, as baton vapid prints it",
    accepts: isPublicKey,
    description:
      "The public key by which push services know this relay (RFC 8292). Pages subscribe with it, so it stays for as long as their subscriptions do. baton vapid makes a pair. If it is not set, there is no Web Push.",
  }),
  vapidPrivateKey: text({
    variable: "BATON_VAPID_PRIVATE_KEY",
    secret: "text",
    allowed: "a private key of P-256 in base64url, 43 characters, as baton vapid prints it",
    accepts: isPrivateKey,
    description: "The private key that belongs to BATON_VAPID_PUBLIC_KEY.",
  }),
  vapidSubject: text({
    variable: "BATON_VAPID_SUBJECT",
    allowed: "a mailto: or https:// address",
    accepts: isSubject,
    description:
      "Where the operator of a push service can reach you. Some services refuse pushes with an address that cannot be real.",
  }),
  devicesKeys: DEVICES_KEYS,
  userDevicesMax: whole({
    variable: "BATON_USER_DEVICES_MAX",
    default: 20,
    min: 1,
    max: 1_000,
    unit: "devices",
    description:
      "How many devices one user may have for Web Push. A push to a user costs one request for each.",
  }),
  deviceTtlMs: whole({
    variable: "BATON_DEVICE_TTL_MS",
    default: 5_184_000_000,
    min: 1_000,
    max: DEVICE_TTL_MS_MAX,
    unit: "milliseconds",
    description:
      "How long a device is kept that is not registered again. Pages register theirs whenever they are opened, so the default of 60 days forgets those that nobody uses.",
  }),
  pushAfterMs: whole({
    variable: "BATON_PUSH_AFTER_MS",
    default: 10_000,
    min: 0,
    max: INT32_MAX,
    unit: "milliseconds",
    description:
      "How long a publication with a push waits for one of the user's connections to take it, before it goes to the user's devices. The default leaves time for a page to reconnect, and for a connection that is no more to be found out.",
  }),
  pushesMax: whole({
    variable: "BATON_PUSHES_MAX",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: "publications",
    description:
      "How many publications with a push may wait until they have been taken or pushed: beyond that, they get 429. As many pushes may wait to be tried again, and those beyond that are given up.",
  }),
};
