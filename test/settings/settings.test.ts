// What readSettings() makes of the environment, and the line it shows for a wrong one.
import { describe, expect, test } from "bun:test";
import { warnings } from "../../src/settings/checks";
import { SETTINGS } from "../../src/settings/definitions";
import { descriptorLimit } from "../../src/settings/files/open-files";
import { SettingError } from "../../src/settings/kinds";
import { readSettings } from "../../src/settings/read";

const read = (env: Record<string, string>) => readSettings(env, 20_000);

/** The line that the user would see. */
function errorLine(env: Record<string, string>): string {
  try {
    read(env);
  } catch (error) {
    if (error instanceof SettingError) return error.message;
    throw error;
  }
  return "";
}

test("readSettings() gives the documented defaults when no variable is set", () => {
  expect(read({})).toMatchObject({
    host: "127.0.0.1",
    port: 8000,
    publicUrl: "",
    apiKeys: [],
    origins: ["*"],
    defaultTopics: ["tech"],
    registrationTtlMs: 60_000,
    registrationsMax: 100_000,
    userConnectionsMax: 100,
    connectionTopicsMax: 128,
    messageBytes: 65_536,
    backpressureBytes: 1_048_576,
    bodyBytes: 1_048_576,
    pingMs: 25_000,
    pongMs: 10_000,
    logLevel: "info",
    unknownVariables: [],
  });
});

test("an empty variable counts as not set, and - is an empty list", () => {
  expect(read({ PORT: "", BATON_ORIGINS: "" })).toMatchObject({ port: 8000, origins: ["*"] });
  expect(read({ BATON_DEFAULT_TOPICS: "-" }).defaultTopics).toEqual([]);
});

test("the items of a list are separated by commas, and spaces around them do not count", () => {
  expect(read({ BATON_DEFAULT_TOPICS: "a, b" }).defaultTopics).toEqual(["a", "b"]);
});

test.each([
  ["PORT", "abc"],
  ["PORT", "65536"],
  ["PORT", "-1"],
  ["PORT", "80.5"],
  ["PORT", "0x50"],
  ["HOST", "not a host"],
  ["BATON_PING_MS", "1"],
  ["BATON_PING_MS", "2147483648"],
  ["BATON_MESSAGE_BYTES", "64KB"],
  ["BATON_MESSAGE_BYTES", "0"],
  ["BATON_INSECURE", "yes"],
  ["BATON_LOG_LEVEL", "loud"],
  ["BATON_ORIGINS", "app.example.com"],
  ["BATON_ORIGINS", "https://app.example.com/"],
  ["BATON_ORIGINS", "https://APP.example.com"],
  ["BATON_ORIGINS", "capacitor://localhost/"],
  ["BATON_ORIGINS", "capacitor://user@localhost"],
  ["BATON_ORIGINS", "capacitor://"],
  ["BATON_ORIGINS", "capacitor:localhost"],
  ["BATON_ORIGINS", "chrome-extension://*"],
  ["BATON_ORIGINS", "file:///page"],
  ["BATON_ORIGINS", "NULL"],
  ["BATON_ORIGINS", "https://a.example,,https://b.example"],
  ["BATON_DEFAULT_TOPICS", "a\nb"],
  ["BATON_PUBLIC_URL", "relay.example.com"],
  ["BATON_PUBLIC_URL", "https://user:secret@relay.example.com"],
  ["BATON_PUBLIC_URL", "https://relay.example.com/?a=1"],
])(
  "%s=%p is refused with one line that names the variable, the value and what is allowed",
  (variable, value) => {
    const line = errorLine({ [variable]: value });
    expect(line).toStartWith(`${variable}=${JSON.stringify(value)} is not allowed: it must be `);
    expect(line).not.toContain("\n");
  },
);

describe("settings that depend on each other", () => {
  test.each([["0.0.0.0"], ["::"], ["192.168.1.5"], ["relay.example.com"]])(
    "HOST=%s without a key is refused with a line that says how to set one",
    (host) => {
      expect(errorLine({ HOST: host })).toMatch(/BATON_API_KEYS.*BATON_INSECURE=1/);
      expect(read({ HOST: host, BATON_API_KEYS: "a-long-random-key" }).host).toBe(host);
      expect(read({ HOST: host, BATON_INSECURE: "1" }).host).toBe(host);
    },
  );

  test.each([["localhost"], ["127.0.0.1"], ["127.1.2.3"], ["::1"]])(
    "HOST=%s needs no key",
    (host) => {
      expect(read({ HOST: host }).host).toBe(host);
    },
  );

  test("warnings() names settings that are allowed but may be unwise", () => {
    const said = (env: Record<string, string>) => warnings(read(env)).join();
    const key = { BATON_API_KEYS: "a-long-random-key" };
    expect(said({})).toBe("");
    expect(said({ ...key, BATON_TOKEN_SECRET: "x".repeat(32) })).toBe("");
    expect(said({ BATON_API_KEYS: "short,a-long-random-key" })).toContain("16 characters");
    expect(said({ BATON_API_KEY: "a-long-random-key" })).toContain("BATON_API_KEYS is not set");
    expect(said({ ...key, BATON_API_KEY: "a-long-random-key" })).toBe("");
    expect(said({ ...key, BATON_TOKEN_SECRET: "short" })).toContain("32 bytes");
    expect(said({ BATON_TOKEN_JWKS_URL: "https://a.example" })).toContain("BATON_API_KEYS");
    expect(said({ HOST: "::", BATON_INSECURE: "1" })).toContain("BATON_INSECURE=1");
    expect(said({ ...key, BATON_ORIGINS: "https://a.example,null" })).toContain("sandboxed");
  });

  test("BATON_FRAME_BYTES has room for a client that reconnects with all of its topics and tokens, and a message", () => {
    expect(read({}).frameBytes).toBe(262_144);
    const topics = { BATON_CONNECTION_TOPICS_MAX: "1000" };
    const message = { BATON_MESSAGE_BYTES: "1000000" };
    expect(read(topics).frameBytes).toBeGreaterThan(1_000 * (1_024 + 200) + 65_536);
    expect(read(message).frameBytes).toBeGreaterThan(128 * (1_024 + 200) + 1_000_000);
    expect(read({ BATON_CONNECTION_TOPICS_MAX: "100000" }).frameBytes).toBe(16_777_216);
    expect(read({ ...message, BATON_FRAME_BYTES: "125" }).frameBytes).toBe(125);
    expect(errorLine({ BATON_FRAME_BYTES: "124" })).toContain("at least 125");
  });

  const tokens = { BATON_API_KEYS: "a-long-random-key", BATON_TOKEN_SECRET: "x".repeat(32) };
  test.each<[string, Record<string, string>, Record<string, string>]>([
    [
      "BATON_FRAME_BYTES with tokens",
      { ...tokens, BATON_FRAME_BYTES: "226303" },
      { BATON_FRAME_BYTES: "226304" },
    ],
    ["BATON_FRAME_BYTES", { BATON_FRAME_BYTES: "95231" }, { BATON_FRAME_BYTES: "95232" }],
    [
      "BATON_CONNECTION_TOPICS_MAX",
      { BATON_CONNECTION_TOPICS_MAX: "1009" },
      { BATON_CONNECTION_TOPICS_MAX: "1008" },
    ],
    [
      "BATON_CONNECTION_FRAMES_MAX",
      { BATON_CONNECTION_FRAMES_MAX: "143" },
      { BATON_CONNECTION_FRAMES_MAX: "144" },
    ],
    [
      "BATON_CONNECTION_BYTES_MAX",
      { BATON_CONNECTION_BYTES_MAX: "262143" },
      { BATON_CONNECTION_BYTES_MAX: "262144" },
    ],
    ["BATON_BODY_BYTES", { BATON_BODY_BYTES: "69631" }, { BATON_BODY_BYTES: "69632" }],
    [
      "BATON_BACKPRESSURE_BYTES",
      { BATON_BACKPRESSURE_BYTES: "131071" },
      { BATON_BACKPRESSURE_BYTES: "131072" },
    ],
    ["BATON_HISTORY_BYTES", { BATON_HISTORY_BYTES: "139263" }, { BATON_HISTORY_BYTES: "139264" }],
    ["BATON_PENDING_BYTES", { BATON_PENDING_BYTES: "131071" }, { BATON_PENDING_BYTES: "131072" }],
  ])("warnings() says when %s does not fit the other limits", (variable, bad, good) => {
    const [said = "", ...rest] = warnings(read(bad));
    expect(said).toStartWith(variable.split(" ", 1)[0] as string);
    expect(rest).toEqual([]);
    expect(warnings(read({ ...bad, ...good }))).toEqual([]);
  });

  test("BATON_CONNECTIONS_MAX is at most the limit of open files, less a reserve", () => {
    expect(readSettings({}, 20_000).connectionsMax).toBe(19_000);
    expect(readSettings({}, 1_024).connectionsMax).toBe(924);
    expect(readSettings({ BATON_CONNECTIONS_MAX: "500" }, 1_024).connectionsMax).toBe(500);
    expect(() => readSettings({ BATON_CONNECTIONS_MAX: "1000" }, 1_024)).toThrow("ulimit -n");
  });

  test("BATON_BODY_BYTES leaves room for the largest message with every character escaped", () => {
    expect(read({ BATON_MESSAGE_BYTES: "1000000" }).bodyBytes).toBeGreaterThan(6_000_000);
    expect(errorLine({ BATON_BODY_BYTES: "100" })).toContain("BATON_MESSAGE_BYTES");
  });
});

test("a misspelt variable that begins with BATON_ is found", () => {
  expect(read({ BATON_MESAGE_BYTES: "1", PATH: "/bin" }).unknownVariables).toEqual([
    "BATON_MESAGE_BYTES",
  ]);
});

test("every default of a setting is allowed, its name is well-formed, and its description is a sentence", () => {
  for (const setting of Object.values(SETTINGS)) {
    expect(setting.parse(setting.default)).toBeDefined();
    expect(setting.variable).toMatch(/^(HOST|PORT|BATON_[A-Z\d_]+)$/);
    expect(setting.description).toEndWith(".");
  }
});

test("descriptorLimit() is what the shell says", () => {
  const said = Bun.spawnSync(["sh", "-c", "ulimit -n"]).stdout.toString().trim();
  expect(String(descriptorLimit())).toBe(said);
});

test("BATON_TRUSTED_PROXIES takes addresses and networks, but not all addresses", () => {
  const networks = ["10.0.0.0/8", "127.0.0.1", "::1", "2001:db8::/32"];
  expect(read({ BATON_TRUSTED_PROXIES: networks.join(", ") }).trustedProxies).toEqual(networks);
  const all = ["0.0.0.0/0", "::/0", "10.0.0.0/00", "::ffff:0:0/96", "::/80"];
  for (const wrong of [...all, "10.0.0", "proxy.example.com", "*"]) {
    expect(errorLine({ BATON_TRUSTED_PROXIES: wrong })).toContain("comma-separated list of addr");
  }
});
