// The devices of users, for a backend: POST, GET and DELETE /users/:user/devices. No answer has a device's endpoint or keys, which let
// whoever has them find out about its user.
import { Type } from "@sinclair/typebox";
import type { Elysia } from "elysia";
import { Refusal } from "../../relay/contracts/errors";
import { toUser } from "../../relay/text/checks";
import { bodyReader } from "../http/body";
import {
  BODY_ERRORS,
  bodyDocument,
  errorAnswers,
  KEY_ERRORS,
  type KeyedRouteOptions,
  UserName,
  UserPath,
} from "../http/documents";
import { query } from "../http/query";
import { orThrow, Refused } from "../http/refusal";
import type { Device, Devices } from "./devices/devices";
import { DeviceAnswer, DeviceBody, DeviceRemoved, DevicesAnswer } from "./shapes";

interface DeviceRoutesOptions extends KeyedRouteOptions {
  /** Undefined where there is no Web Push. */
  readonly webPush: { readonly devices: Devices | undefined } | undefined;
  readonly bodyBytes: number;
}

const EXAMPLE =
  '{"endpoint":"https://push.example/abc","keys":{"p256dh":"BNcR…","auth":"tBHI…"}}, as PushSubscription.toJSON() gives it';

const DevicePath = Type.Object({
  user: UserName,
  device: Type.String({ description: "The id of a device." }),
});

const COMMON_ERRORS = [
  ...KEY_ERRORS,
  "not_available",
  "invalid_user",
  "engine_unavailable",
] as const;

export function deviceRoutes(options: DeviceRoutesOptions) {
  return (app: Elysia) =>
    app.use(registerRoute(options)).use(listRoute(options)).use(removeRoute(options));
}

function registerRoute({ webPush, requireKey, security, bodyBytes }: DeviceRoutesOptions) {
  const readDevice = bodyReader(DeviceBody, EXAMPLE, bodyBytes);
  return (app: Elysia) =>
    app.post(
      "/users/:user/devices",
      async ({ params, request }) => {
        const kept = orThrow(devicesOf(webPush));
        const user = orThrow(toUser(params.user));
        return rowOf(orThrow(await kept.register(user, await readDevice(request))));
      },
      {
        parse: "none",
        beforeHandle: requireKey("register"),
        params: UserPath,
        response: {
          200: DeviceAnswer,
          ...errorAnswers(
            ...BODY_ERRORS,
            "not_available",
            "invalid_user",
            "invalid_device",
            "too_many_devices",
            "engine_unavailable",
          ),
        },
        detail: {
          tags: ["relay"],
          summary: "Keep a device of a user for Web Push",
          requestBody: bodyDocument(DeviceBody),
          description:
            "Takes what PushSubscription.toJSON() gives. Registered again, a device is kept for longer; for another user, it is that user's from then on. Its keys are encrypted in the store, and no route returns them.",
          security,
        },
      },
    );
}

function listRoute({ webPush, requireKey, security }: DeviceRoutesOptions) {
  return (app: Elysia) =>
    app.get(
      "/users/:user/devices",
      async ({ params, request }) => {
        orThrow(query(request.url, []));
        const kept = orThrow(devicesOf(webPush));
        const found = await kept.of(orThrow(toUser(params.user)));
        return { devices: found.map(rowOf) };
      },
      {
        beforeHandle: requireKey("read"),
        params: UserPath,
        response: { 200: DevicesAnswer, ...errorAnswers(...COMMON_ERRORS, "invalid_query") },
        detail: {
          tags: ["relay"],
          summary: "List a user's devices",
          description:
            "In the order in which they were first registered. An unknown user has none.",
          security,
        },
      },
    );
}

function removeRoute({ webPush, requireKey, security }: DeviceRoutesOptions) {
  return (app: Elysia) =>
    app.delete(
      "/users/:user/devices/:device",
      async ({ params }) => {
        const kept = orThrow(devicesOf(webPush));
        const user = orThrow(toUser(params.user));
        if (await kept.remove(user, params.device)) return { removed: 1 };
        throw new Refused(
          new Refusal("unknown_device", "The user has no device with this id, or no longer."),
        );
      },
      {
        beforeHandle: requireKey("register"),
        params: DevicePath,
        response: { 200: DeviceRemoved, ...errorAnswers(...COMMON_ERRORS, "unknown_device") },
        detail: {
          tags: ["relay"],
          summary: "Forget a device of a user",
          description: "For a user who signs out, or wants no pushes any more.",
          security,
        },
      },
    );
}

/** Refuses (`not_available`) where no device is kept. */
function devicesOf(webPush: DeviceRoutesOptions["webPush"]): Devices | Refusal {
  if (webPush?.devices !== undefined) return webPush.devices;
  return new Refusal(
    "not_available",
    "The relay keeps no devices: set BATON_VAPID_PUBLIC_KEY and what belongs to it.",
  );
}

function rowOf({ id, endpoint, since, expires }: Device) {
  return {
    id,
    service: new URL(endpoint).host,
    since: new Date(since).toISOString(),
    expires: new Date(expires).toISOString(),
  };
}
