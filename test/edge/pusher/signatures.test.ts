// The signatures of the Pusher protocol. What counts was made by the libraries themselves, each at its own moment, with this app.
import { describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  bodyProblem,
  channelText,
  isAuthorized,
  requestProblem,
  sign,
  signedQuery,
  userText,
} from "../../../src/edge/pusher/signatures";
import { signedPath } from "../../support/pusher/backend";

const APP = { id: "42", key: "app-key", secret: "an app's secret: 0123456789" };

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  /** When it was made, in Unix seconds. */
  readonly at: number;
}

function problemOf({ method, path, body = "", at }: Call, app = APP): string | undefined {
  const url = `http://127.0.0.1:8000${path}`;
  const query = signedQuery(url);
  if (typeof query === "string") return query;
  return requestProblem(app, { method, url, query }, at) ?? bodyProblem(query, Buffer.from(body));
}

/** A call as the libraries sign it, but for what `parameters` change. */
function signed({
  method = "POST",
  path = "/apps/42/events",
  body = "{}",
  at = 1_795_937_356,
  parameters = {},
}: {
  method?: string;
  path?: string;
  body?: string;
  at?: number;
  parameters?: Record<string, string>;
}): Call {
  return {
    method,
    path: signedPath({ method, path, body, at, query: parameters, app: APP }),
    body,
    at,
  };
}

const BY_LIBRARIES: Record<string, Call> = {
  "Node's trigger": {
    method: "POST",
    path: "/apps/42/events?auth_key=app-key&auth_timestamp=1795937356&auth_version=1.0&body_md5=6b063e7c8beb7e38efea22c5bd68f407&auth_signature=8e3a9adff4b7b2a20388654bcb046b9925e3642b793ae3d95aec70bbb23f8080",
    body: '{"name":"order","data":"{\\"n\\":\\"é\u2028<&>\\"}","channels":["news","presence-a"],"socket_id":"123.456","info":"user_count,subscription_count"}',
    at: 1_795_937_356,
  },
  "Node's list of channels, with commas as they are": {
    method: "GET",
    path: "/apps/42/channels?auth_key=app-key&auth_timestamp=1795937356&auth_version=1.0&filter_by_prefix=presence-&info=user_count,subscription_count&auth_signature=daf9bb1fa441bdf772c47c84c7bf70d553c4a955bfbda84057823bbb6ce862e5",
    at: 1_795_937_356,
  },
  "Node's list of channels, with a space and an accent": {
    method: "GET",
    path: "/apps/42/channels?auth_key=app-key&auth_timestamp=1795937356&auth_version=1.0&filter_by_prefix=a%20%C3%A9&auth_signature=701dc330a1a901ae29675f02d1a901a4c9700a1658d7b0196150cf0afbfa098b",
    at: 1_795_937_356,
  },
  "Node's path with escapes, which it signs without them": {
    method: "POST",
    path: "/apps/42/users/u%201/%C3%BC/terminate_connections?auth_key=app-key&auth_timestamp=1795937356&auth_version=1.0&body_md5=99914b932bd37a50b983c5e7c90ae93b&auth_signature=b284f27be7b36bb5e87b38f0548584aa2f61cbc9126bb552060dbc970c8a8fcd",
    body: "{}",
    at: 1_795_937_356,
  },
  "Python's trigger": {
    method: "POST",
    path: "/apps/42/events?auth_key=app-key&auth_signature=28c8140a121420b8ba4ac0b57c9c42e6992e989fe3abd3363a7871e86de007c7&auth_timestamp=1795937357&auth_version=1.0&body_md5=f5e06efe9a54a9a3e873213a4f032f23",
    body: '{"name": "order", "channels": ["news", "presence-a"], "data": "{\\"n\\": \\"\\u00e9<&>\\"}", "socket_id": "123.456"}',
    at: 1_795_937_357,
  },
  "Python's list of channels, with the MD5 of no body": {
    method: "GET",
    path: "/apps/42/channels?auth_key=app-key&auth_signature=3321043791c85a9ae60033c7795225f1a85712d1c19f545adc348e52b72eea14&auth_timestamp=1795937357&auth_version=1.0&body_md5=d41d8cd98f00b204e9800998ecf8427e&filter_by_prefix=presence-&info=user_count,subscription_count",
    at: 1_795_937_357,
  },
  "Python's end of a user's connections, without an app in the path": {
    method: "POST",
    path: "/users/u1/terminate_connections?auth_key=app-key&auth_signature=6457766de9609b80b049b565e912b64800cd59ce6c6846fdc4c5e6d38f95bbc2&auth_timestamp=1795937357&auth_version=1.0&body_md5=99914b932bd37a50b983c5e7c90ae93b",
    body: "{}",
    at: 1_795_937_357,
  },
  "Java's trigger, which does not sort": {
    method: "POST",
    path: "/apps/42/events?body_md5=6f54bc4c8861e1f69c953019ff9c702b&auth_signature=bf302873a1aebacc7a8763e5a72f8fb22440fe2dab8c6f774419b48d51d3779d&auth_timestamp=1795937495&auth_key=app-key&auth_version=1.0",
    body: '{"channels":["news","presence-a"],"name":"order","data":"{\\"n\\":\\"é<&>\\"}","socket_id":"123.456"}',
    at: 1_795_937_495,
  },
  "Java's list of channels, with %2C and +": {
    method: "GET",
    path: "/apps/42/channels?auth_signature=29c27ce68df823770fc0e6892e60fb91a45a740c2bf97a97c115ff9632fa95fb&filter_by_prefix=a+%C3%A9&auth_timestamp=1795937496&auth_key=app-key&info=user_count%2Csubscription_count&auth_version=1.0",
    at: 1_795_937_496,
  },
};

describe("the signature of a request", () => {
  test.each(Object.entries(BY_LIBRARIES))("counts: %s", (_, call) => {
    expect(problemOf(call)).toBeUndefined();
  });

  test.each(Object.entries(BY_LIBRARIES))(
    "does not count with another body, path, method, parameter, time, key or secret: %s",
    (_, call) => {
      const { body = "", path, at } = call;
      const [route = "", query = ""] = path.split("?");
      for (const changed of [
        { ...call, body: `${body} ` },
        { ...call, path: `/apps/43/channels?${query}` },
        { ...call, path: `${route}/?${query}` },
        { ...call, method: call.method === "GET" ? "POST" : "GET" },
        { ...call, path: `${path}&more=1` },
        { ...call, path: path.replace(/auth_signature=[^&]*/, "auth_signature=") },
        { ...call, path: path.replace(/auth_signature=./, "auth_signature=x") },
        { ...call, path: path.replace("auth_version=1.0", "auth_version=1.00") },
        { ...call, at: at + 601 },
        { ...call, at: at - 601 },
      ]) {
        expect(problemOf(changed), JSON.stringify(changed)).toBeString();
      }
      expect(problemOf(call, { ...APP, secret: `${APP.secret}.` })).toBeString();
      expect(problemOf(call, { ...APP, key: "app-key-2" })).toBeString();
    },
  );

  test("counts in any order of the parameters, and with names in any case", () => {
    const { path, ...call } = signed({});
    const [route, query = ""] = path.split("?");
    const reversed = query.split("&").reverse().join("&");
    expect(problemOf({ ...call, path: `${route}?${reversed}` })).toBeUndefined();
    expect(problemOf({ ...call, path: path.replace("auth_key", "Auth_Key") })).toBeUndefined();
  });

  test("counts with a parameter that has no value, with or without its =, and with nothing between two &", () => {
    const { path, ...call } = signed({ parameters: { info: "" } });
    expect(problemOf({ ...call, path })).toBeUndefined();
    expect(problemOf({ ...call, path: path.replace("info=", "info") })).toBeUndefined();
    expect(problemOf({ ...call, path: path.replaceAll("&", "&&") })).toBeUndefined();
  });

  test("counts for 600 seconds on each side of its time", () => {
    const call = signed({});
    expect(problemOf({ ...call, at: call.at + 600 })).toBeUndefined();
    expect(problemOf({ ...call, at: call.at - 600 })).toBeUndefined();
    expect(problemOf({ ...call, at: call.at + 601 })).toContain("more than 600 s");
  });

  test.each(["", "x", "1e9", "-1", "1795937356.0", "0x6b0c", "9".repeat(13)])(
    "does not count with the time %s",
    (auth_timestamp) => {
      expect(problemOf(signed({ parameters: { auth_timestamp } }))).toContain("auth_timestamp");
    },
  );

  test("does not count for a body without body_md5, whatever else stands there", () => {
    const call = { ...signed({ body: "" }), body: "{}" };
    expect(problemOf(call)).toContain("body_md5");
    const upper = createHash("md5").update("{}").digest("hex").toUpperCase();
    expect(problemOf(signed({ parameters: { body_md5: upper } }))).toContain("body_md5");
  });

  test("does not count with a parameter that stands twice, in any case, or that could pass for two", () => {
    const { path, ...call } = signed({ method: "GET", body: "", parameters: { info: "a" } });
    expect(problemOf({ ...call, path: `${path}&info=a` })).toContain("twice");
    expect(problemOf({ ...call, path: `${path}&INFO=a` })).toContain("twice");
    expect(problemOf({ ...call, path: `${path}&auth_key=app-key` })).toContain("twice");
    const merged = signed({
      method: "GET",
      body: "",
      parameters: { filter_by_prefix: "x&info=user_count" },
    });
    expect(problemOf(merged)).toContain("cannot be signed");
    const named = { ...call, path: `${path}&a%3Db=c` };
    expect(problemOf(named)).toContain("cannot be signed");
    expect(problemOf({ ...call, path: `${path}&x=%ff` })).toContain("UTF-8");
    expect(problemOf({ ...call, path: `${path}&%ff=x` })).toContain("UTF-8");
  });

  describe("cannot be moved by a line break", () => {
    const COMMON = "auth_key=app-key&auth_timestamp=1795937356&auth_version=1.0";
    const signatureOf = ({ path }: Call) => path.replace(/.*&auth_signature=/, "");

    test("from the query into the path", () => {
      const call = signed({
        method: "GET",
        path: "/apps/42/channels",
        body: "",
        parameters: { x: `\n${COMMON}` },
      });
      const path = `/apps/42/channels%0A${COMMON}&x=?${COMMON}&auth_signature=${signatureOf(call)}`;
      expect(problemOf({ ...call, path })).toContain("auth_signature");
    });

    test("from the path into the query", () => {
      const end = "/apps/42/users/1/terminate_connections";
      const call = signed({ path: `${end}\nauth_key=app-key&auth_l=/x`, body: "" });
      const query = COMMON.replace("&", "&auth_l=%2Fx%0Aauth_key%3Dapp-key&");
      const path = `${end}?${query}&auth_signature=${signatureOf(call)}`;
      expect(problemOf({ ...call, path })).toContain("cannot be signed");
    });
  });
});

describe("the signature for a client", () => {
  const SOCKET = "123.456";

  test.each<[string, string | undefined, string]>([
    [
      "Node, Python and Java, private",
      channelText(SOCKET, "private-x"),
      "c3f4f621cbf95372780f2bd7c00e95033df29b857b8fb0b03d84c93df0d398e7",
    ],
    [
      "Node and Java, presence",
      channelText(SOCKET, "presence-a", '{"user_id":1,"user_info":{"name":"é<"}}'),
      "b4a089c6c4b4ae67a5e546ce142f574ab864d99d15b2f9bb5c328f9d54e855d6",
    ],
    [
      "Python, presence",
      channelText(SOCKET, "presence-a", '{"user_id": 1, "user_info": {"name": "\\u00e9<"}}'),
      "fc214d6700a434afd8956fdcad4776670770640abd38c8913acf32647dea52b2",
    ],
    [
      "Node, user",
      userText(SOCKET, '{"id":"u1","x":"é"}'),
      "d6ae6f57499425edbf995e811c91c6938dce58a9af741411e3da9041cfe9395a",
    ],
    [
      "Python, user",
      userText(SOCKET, '{"id": "u1", "x": "\\u00e9"}'),
      "27c32c5efa7dfa2ea10acca4e011647d78de890d3ce114de905734339d93bc15",
    ],
  ])("counts as %s made it, and not for another text, key or secret", (_, text, signature) => {
    const auth = `app-key:${signature}`;
    expect(isAuthorized(APP, text, auth)).toBe(true);
    expect(isAuthorized(APP, `${text} `, auth)).toBe(false);
    expect(isAuthorized(APP, text?.replace("123", "124"), auth)).toBe(false);
    expect(isAuthorized({ ...APP, secret: "another" }, text, auth)).toBe(false);
    expect(isAuthorized({ ...APP, key: "app" }, text, auth)).toBe(false);
    for (const other of [
      signature,
      `app-key:${signature.toUpperCase()}`,
      `app-key:${signature} `,
      `app-key: ${signature}`,
      `app-key:${signature.slice(1)}`,
      `app-key::${signature}`,
      "app-key:",
      "",
    ]) {
      expect(isAuthorized(APP, text, other), other).toBe(false);
    }
  });

  test("does not open a channel whose name could pass for another one with its data, or for a user", () => {
    const presence = sign(APP.secret, `${SOCKET}:presence-a:{"user_id":"1"}`);
    const user = sign(APP.secret, userText(SOCKET, '{"id":"1"}'));
    for (const [channel, signature] of [
      ['presence-a:{"user_id":"1"}', presence],
      [':user::{"id":"1"}', user],
    ] as const) {
      expect(isAuthorized(APP, channelText(SOCKET, channel), `app-key:${signature}`)).toBe(false);
    }
  });
});
