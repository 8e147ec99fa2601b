// The routes of Pusher backends in the OpenAPI document.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { APP, PUSHER_ENV } from "../../support/pusher/app";
import { call } from "../../support/pusher/backend";
import { startRelay, type TestRelay } from "../../support/relay/test-relay";

let relay: TestRelay;
// biome-ignore lint/suspicious/noExplicitAny: a JSON document of any shape
let paths: any;
beforeAll(async () => {
  relay = await startRelay(PUSHER_ENV);
  ({ paths } = (await relay.request("GET", "/openapi/json")).json);
});
afterAll(() => relay[Symbol.asyncDispose]());

const ROUTES = [
  "get /apps/{id}/channels",
  "get /apps/{id}/channels/{channel}",
  "get /apps/{id}/channels/{channel}/users",
  "post /apps/{id}/batch_events",
  "post /apps/{id}/events",
  "post /apps/{id}/users/{user}/terminate_connections",
  "post /users/{user}/terminate_connections",
];

test("with an app the document has the routes of Pusher backends, with their parameters, bodies and errors", () => {
  const described = Object.entries<object>(paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  expect(described.filter((route) => /apps|terminate/.test(route)).toSorted()).toEqual(ROUTES);
  for (const route of ROUTES) {
    const [method = "", path = ""] = route.split(" ");
    const { summary, parameters, responses, requestBody } = paths[path][method];
    expect(summary).toBeString();
    const names = parameters.map(({ name }: { name: string }) => name);
    expect(names, route).toEqual(expect.arrayContaining(["auth_key", "auth_signature"]));
    expect(Object.keys(responses), route).toEqual(expect.arrayContaining(["200", "401", "429"]));
    expect(responses[401].description, route).toContain("invalid_signature");
    // Libraries know no 409, 415 and 422.
    for (const status of Object.keys(responses)) expect(status).not.toMatch(/409|415|422/);
    expect(requestBody !== undefined, route).toBe(/events$/.test(path));
  }
  expect(paths["/apps/{id}/events"].post.responses[413].description).toContain("message_too_large");
});

test("a method or path that is not there is answered as elsewhere", async () => {
  const answers = [
    await call(relay.url, { path: `/apps/${APP.id}/channels`, body: "{}" }),
    await call(relay.url, { path: `/apps/${APP.id}/nothing`, body: "{}" }),
    await call(relay.url, { method: "GET", path: `/apps/${APP.id}/events` }),
  ];
  expect(answers.map(({ status }) => status)).toEqual([405, 404, 405]);
});
