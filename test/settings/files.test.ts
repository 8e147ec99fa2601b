// Where settings come from besides the environment: files that have a secret, and the file that BATON_CONFIG names.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SETTINGS } from "../../src/settings/definitions";
import { closest } from "../../src/settings/files/closest";
import { SettingError } from "../../src/settings/kinds";
import { readSettings, VARIABLES } from "../../src/settings/read";
import { Folder } from "../support/machine/folder";

let folder: Folder;
beforeAll(() => {
  folder = new Folder();
});
afterAll(() => folder[Symbol.dispose]());

const read = (env: Record<string, string>) => readSettings(env, 20_000);

function errorLine(env: Record<string, string>): string {
  try {
    read(env);
  } catch (error) {
    if (!(error instanceof SettingError)) throw error;
    expect(error.message).not.toContain("\n");
    return error.message;
  }
  return "";
}

let files = 0;
/** The path of a new file. */
function file(content: string | Uint8Array): string {
  const path = join(folder.path, `file${++files}`);
  writeFileSync(path, content);
  return path;
}

describe("a secret in a file", () => {
  test("counts without the line breaks at its end, also through a link", () => {
    const secret = file(`${"s".repeat(40)}\r\n\n`);
    expect(read({ BATON_TOKEN_SECRET_FILE: secret }).tokenSecret).toBe("s".repeat(40));
    const link = join(folder.path, "link");
    symlinkSync(secret, link);
    expect(read({ BATON_TOKEN_SECRET_FILE: link }).tokenSecret).toBe("s".repeat(40));
    expect(read({ BATON_ENGINE_FILE: file("redis://:pw@h:6379\n") }).engine).toBe(
      "redis://:pw@h:6379",
    );
    const pem = "-----BEGIN PUBLIC KEY-----\nabc\n-----END PUBLIC KEY-----";
    expect(read({ BATON_TOKEN_PUBLIC_KEY_FILE: file(`${pem}\n`) }).tokenPublicKey).toBe(pem);
  });

  test("may be a list of keys, one a line, with comments", () => {
    const path = file("# of the shop\nfirst-key\r\n\n  second-key  \n# old\nthird-key,fourth-key");
    const keys = ["first-key", "second-key", "third-key", "fourth-key"];
    expect(read({ BATON_API_KEYS_FILE: path }).apiKeys.map(({ key }) => key)).toEqual(keys);
    expect(read({ BATON_API_KEYS_FILE: path }).unknownVariables).toEqual([]);
  });

  test("and in its variable as well is refused with one line", () => {
    const line = errorLine({ BATON_API_KEYS: "a-long-random-key", BATON_API_KEYS_FILE: file("x") });
    expect(line).toBe(
      "BATON_API_KEYS and BATON_API_KEYS_FILE are both set, which is not allowed: set one of them.",
    );
  });

  const bad: [what: string, path: () => string, why: string][] = [
    ["that is not there", () => join(folder.path, "nothing"), "it cannot be read: ENOENT"],
    ["that is empty", () => file(""), "it is empty."],
    ["that has only line breaks", () => file("\n\r\n"), "it is empty."],
    ["that has only comments", () => file("# a\n#b"), "it is empty."],
    ["that is too large", () => file("x".repeat(65_537)), "it has more than 65536 bytes."],
    ["that is not UTF-8", () => file(new Uint8Array([0x61, 0xff])), "it is not UTF-8."],
    [
      "that has a wrong key",
      () => file("good-key\ntwo words"),
      "what it has must have keys of visible ASCII",
    ],
    ["that is a device", () => "/dev/null", "it is not a regular file."],
    ["that can be opened but not read", () => "/proc/self/mem", "it cannot be read: EIO"],
    [
      "that is a directory",
      () => {
        const path = join(folder.path, `directory${++files}`);
        mkdirSync(path);
        return path;
      },
      "it is a directory.",
    ],
    [
      "that is a pipe without a writer",
      () => {
        const path = join(folder.path, `pipe${++files}`);
        Bun.spawnSync(["mkfifo", path]);
        return path;
      },
      "it is not a regular file.",
    ],
  ];
  test.each(bad)("%s is refused with one line that does not show it", (_, makePath, why) => {
    const path = makePath();
    const line = errorLine({ BATON_API_KEYS_FILE: path });
    expect(line).toStartWith(`BATON_API_KEYS_FILE=${JSON.stringify(path)} is not allowed: ${why}`);
    expect(line).not.toMatch(/two words|good-key/);
  });

  test("is not named for a setting that is no secret", () => {
    const env = { BATON_HISTORY_SIZE_FILE: file("5") };
    expect(read(env).historySize).toBe(100);
    expect(read(env).unknownVariables).toEqual(["BATON_HISTORY_SIZE_FILE"]);
  });
});

test("the value of a secret is never shown, and of an engine not its password", () => {
  expect(errorLine({ BATON_API_KEYS: "two words" })).toStartWith('BATON_API_KEYS="…" is not');
  expect(errorLine({ BATON_TOKEN_SECRET: "s".repeat(5_000) })).not.toContain("sss");
  const line = errorLine({ BATON_ENGINE: "redis://user:password@h:x" });
  expect(line).toContain("redis://…@h:x");
  expect(line).not.toContain("password");
});

describe("BATON_CONFIG", () => {
  const config = (text: string) => ({ BATON_CONFIG: file(text) });

  test("names a file of settings, each under the name of its variable and with its type", () => {
    const secret = file("s".repeat(40));
    const settings = read(
      config(`
        # where it listens
        PORT = 8_100
        BATON_API_KEYS = [
          "a-long-random-key", # the shop
          "another-random-key",
        ]
        BATON_INSECURE = true
        BATON_DEFAULT_TOPICS = []
        BATON_WORKERS = "auto"
        BATON_TOKEN_SECRET_FILE = ${JSON.stringify(secret)}
        BATON_ENGINE = 'sqlite:/tmp/b.db'
        BATON_PUBLIC_URL = ""
      `),
    );
    expect(settings).toMatchObject({
      port: 8_100,
      apiKeys: [{ key: "a-long-random-key" }, { key: "another-random-key" }],
      insecure: true,
      defaultTopics: [],
      tokenSecret: "s".repeat(40),
      engine: "sqlite:/tmp/b.db",
      publicUrl: "",
      unknownVariables: [],
    });
    expect(settings.workers).toBeGreaterThan(0);
    expect(read(config("BATON_WORKERS = 3")).workers).toBe(3);
  });

  test("a variable of the environment counts more than the file, also for a secret that either names", () => {
    const file1 = config('PORT = 1\nBATON_API_KEYS = ["key-of-the-file"]');
    const env = { ...file1, PORT: "2", BATON_API_KEYS_FILE: file("key-of-another-file") };
    expect(read(env)).toMatchObject({ port: 2, apiKeys: [{ key: "key-of-another-file" }] });
    expect(read({ ...file1, PORT: "" }).port).toBe(1);
  });

  test.each([
    [
      "BATON_PING_MSS = 1",
      'it has "BATON_PING_MSS", but there is no such setting. Perhaps BATON_PING_MS is meant.',
    ],
    ["port = 1", 'it has "port", but there is no such setting. Perhaps PORT is meant.'],
    ["api_keys = []", "Perhaps BATON_API_KEYS is meant."],
    ["[BATON_PORT]\nx = 1", "Perhaps PORT is meant."],
    ['BATON_CONFIG = "other.toml"', "a file cannot name another one."],
    ['PORT = "8000"', "its PORT must be an integer, such as 8000."],
    ["PORT = 80.5", "its PORT must be an integer, such as 8000."],
    ["BATON_INSECURE = 1", "its BATON_INSECURE must be true or false."],
    ['BATON_API_KEYS = "a,b"', "its BATON_API_KEYS must be a list of strings"],
    ['BATON_API_KEYS = ["a,b"]', "its BATON_API_KEYS must be a list of strings"],
    ['BATON_API_KEYS = [""]', "its BATON_API_KEYS must be a list of strings"],
    ['BATON_API_KEYS = ["-"]', "its BATON_API_KEYS must be a list of strings"],
    ["HOST = 1", "its HOST must be a string"],
    ["HOST = { a = 1 }", "its HOST must be a string"],
    ["PORT = 1\nPORT = 2", "it is not TOML: Cannot redefine key 'PORT'."],
    ["BATON_TOKEN_SECRET = hush-hush", "it is not TOML: Strings must be quoted."],
    ['{"PORT": 1}', "it is not TOML: "],
    ["BATON_API_KEYS = [[[[…", "its arrays or tables are nested too deeply"],
    ["# xxxx…", "it has more than 1048576 bytes."],
  ])("%p is refused with one line that says what is wrong", (short, why) => {
    const text = short
      .replace("[[[[…", "[".repeat(100_000))
      .replace("xxxx…", "x".repeat(1_048_576));
    const env = config(text);
    const line = errorLine(env);
    expect(line).toStartWith(`BATON_CONFIG=${JSON.stringify(env.BATON_CONFIG)} is not allowed: `);
    expect(line).toContain(why);
    expect(line).not.toContain("hush");
  });

  test("a value that is not allowed is refused like one of the environment, with the file's name", () => {
    const env = config("PORT = 70000");
    expect(errorLine(env)).toBe(
      `PORT="70000" in ${JSON.stringify(env.BATON_CONFIG)} is not allowed: it must be a whole number from 0 to 65535.`,
    );
    const both = config('BATON_TOKEN_SECRET = "x"\nBATON_TOKEN_SECRET_FILE = "/x"');
    expect(errorLine(both)).toContain("are both set in");
    expect(errorLine({ BATON_CONFIG: "/nothing.toml" })).toContain("it cannot be read: ENOENT");
  });

  test("every setting can stand there with its default", () => {
    const lines = Object.values(SETTINGS)
      .filter(({ variable }) => variable !== "BATON_CONFIG")
      .map(({ variable, inFile, default: text }) => {
        if (inFile === "boolean") return `${variable} = ${text === "1"}`;
        if (inFile === "list")
          return `${variable} = ${JSON.stringify(text ? text.split(",") : [])}`;
        return `${variable} = ${inFile.startsWith("integer") ? text : JSON.stringify(text)}`;
      });
    const env = config(lines.join("\n"));
    expect(read(env)).toEqual({ ...read({}), config: env.BATON_CONFIG });
  });
});

test.each([
  ["BATON_PINGMS", "BATON_PING_MS"],
  ["BATON_PORT", "PORT"],
  ["BATON_API_KEYSS", "BATON_API_KEYS"],
  ["BATON_APIKEY", "BATON_API_KEYS"],
  ["BATON_API_KYES", "BATON_API_KEYS"],
  ["baton_topics_flie", "BATON_TOPICS_FILE"],
])("the setting that is meant by %s is found", (name, meant) => {
  expect(closest(name, [...VARIABLES])).toEqual(meant);
});

test("a setting is found for a name of 10,000 characters", () => {
  expect(VARIABLES).toContain(closest(`BATON_${"X".repeat(10_000)}`, [...VARIABLES]));
});
