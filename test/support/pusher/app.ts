// The app of the Pusher protocol that tests have.

export const APP = { id: "42", key: "app-key", secret: "a-long-enough-app-secret" };

/** What a relay needs to speak the protocol. */
export const PUSHER_ENV = { BATON_PUSHER_APPS: `${APP.id}:${APP.key}:${APP.secret}` };
