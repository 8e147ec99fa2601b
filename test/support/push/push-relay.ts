// What a relay needs for Web Push, and the calls of a backend that keeps devices.
import type { Subscription } from "../../../src/edge/push/devices/devices";

/** A pair that baton vapid has printed. */
export const VAPID = {
  publicKey:
    "BK9HZitme4NFKKyr2NZ6fXEjGarjF1l2QK-BO0cKboAg9BQP7n62wbs9gEJKV0g8LRR-GI6wc2hawZkr0Z1QYr0",
  privateKey: "L7AXg1Il4NwK7TQ3ZZ6zEmNeRhcgJmepaCEd2EVv2hU",
};

/** The settings of a relay that pushes to services on this machine, soon. */
export const PUSH_ENV = {
  BATON_VAPID_PUBLIC_KEY: VAPID.publicKey,
  BATON_VAPID_PRIVATE_KEY: VAPID.privateKey,
  BATON_VAPID_SUBJECT: "mailto:push@example.com",
  BATON_DEVICES_KEY: "a".repeat(64),
  BATON_PUSH_AFTER_MS: "100",
  BATON_WEBHOOKS_PRIVATE: "1",
};

interface Poster {
  post(path: string, body: unknown): Promise<{ readonly status: number }>;
}

/** Registers a device of a user. */
export async function registerDevice(
  relay: Poster,
  user: string,
  subscription: Subscription,
): Promise<void> {
  const { status } = await relay.post(`/users/${user}/devices`, subscription);
  if (status !== 200) throw new Error(`the device was answered with ${status}`);
}

/** A subscription of a device that nothing is decrypted for. */
export function deviceOf(name: string, service = "https://push.example"): Subscription {
  return {
    endpoint: `${service}/${name}`,
    expirationTime: null,
    keys: {
      p256dh:
        "BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM",
      auth: "tBHItJI5svbpez7KI4CCXg",
    },
  };
}
