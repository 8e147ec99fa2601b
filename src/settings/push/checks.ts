// What the settings of Web Push must be in combination.
import { SettingError } from "../kinds";
import { isPair } from "./vapid";

interface PushValues {
  readonly vapidPublicKey: string;
  readonly vapidPrivateKey: string;
  readonly vapidSubject: string;
  readonly devicesKeys: readonly string[];
}

/** Throws SettingError with the line to show, where one of the settings is missing or two do not fit. */
export function checkPush(values: PushValues): void {
  const { vapidPublicKey, vapidPrivateKey, vapidSubject, devicesKeys } = values;
  const given = {
    BATON_VAPID_PUBLIC_KEY: vapidPublicKey,
    BATON_VAPID_PRIVATE_KEY: vapidPrivateKey,
    BATON_VAPID_SUBJECT: vapidSubject,
    BATON_DEVICES_KEY: devicesKeys.join(),
  };
  const missing = Object.entries(given).filter(([, value]) => value === "");
  const vapid = vapidPublicKey + vapidPrivateKey + vapidSubject;
  if (vapid === "") return;
  const [first] = missing;
  if (first !== undefined) {
    throw new SettingError(
      `${first[0]} is not set, which Web Push needs: ${Object.keys(given).join(", ")} go together. baton vapid prints keys, and openssl rand -hex 32 a secret for BATON_DEVICES_KEY.`,
    );
  }
  if (isPair(vapidPublicKey, vapidPrivateKey)) return;
  throw new SettingError(
    "BATON_VAPID_PRIVATE_KEY does not belong to BATON_VAPID_PUBLIC_KEY: baton vapid prints a pair.",
  );
}
