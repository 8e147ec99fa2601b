// The apps of BATON_PUSHER_APPS. All of them have the same topics: an app is a key to the relay, as those of BATON_API_KEYS are, and
// no name space.
import type { Settings } from "../../settings/definitions";
import { KeyLimits } from "../access/limits/key-limits";

type AppSettings = Settings["pusherApps"][number];

/** One app, as long as its id, key and secret stay the same. */
export class PusherApp {
  readonly id: string;
  readonly key: string;
  readonly secret: string;
  /** How often its backends may use it. */
  readonly limits: KeyLimits;

  constructor({ id, key, secret }: AppSettings, limits: KeyLimits) {
    this.id = id;
    this.key = key;
    this.secret = secret;
    this.limits = limits;
  }
}

export class PusherApps {
  #apps: readonly PusherApp[] = [];
  readonly #newLimits: () => KeyLimits;

  constructor(apps: Settings["pusherApps"], limits: ConstructorParameters<typeof KeyLimits>[0]) {
    this.#newLimits = () => new KeyLimits(limits);
    this.replace(apps);
  }

  /** From now on these are the apps. */
  replace(apps: Settings["pusherApps"]): void {
    const before = this.#apps;
    this.#apps = apps.map(
      (app) =>
        before.find(
          ({ id, key, secret }) => id === app.id && key === app.key && secret === app.secret,
        ) ?? new PusherApp(app, this.#newLimits()),
    );
  }

  /** The app that speaks for all; undefined where there is none. */
  get first(): PusherApp | undefined {
    return this.#apps[0];
  }

  byId(id: string): PusherApp | undefined {
    return this.#apps.find((app) => app.id === id);
  }

  byKey(key: string): PusherApp | undefined {
    return this.#apps.find((app) => app.key === key);
  }
}
