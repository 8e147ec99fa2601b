// The examples of docs/publishing.md work as they stand. Those in Python: slow/docs.slow.ts.
import { expect, test } from "bun:test";
import { readTopicsFile } from "../../src/settings/files/topics-file";
import { example } from "../support/docs/pages";
import { runExample } from "../support/docs/recording-app";
import { Shell } from "../support/docs/shell";
import { Folder } from "../support/machine/folder";
import { startRelay } from "../support/relay/test-relay";
import { until } from "../support/wait";

const PAGE = "docs/publishing.md";

test("the curl commands of docs/publishing.md work, and are answered as it shows", async () => {
  await using relay = await startRelay();
  await using shell = new Shell();
  const run = async (name: string) => {
    const script = example(PAGE, name).replaceAll("http://127.0.0.1:8000", relay.url);
    return JSON.parse(await shell.run(script));
  };
  const phone = await relay.connect(1);
  const laptop = await relay.connect(1);

  const registered = await run("register.sh");
  const shown = JSON.parse(example(PAGE, "registered.json"));
  expect(Object.keys(registered)).toEqual(Object.keys(shown));
  const general = (url: string) =>
    url.replace(/127\.0\.0\.1:\d+/, "host").replace(/[\da-f]{32}/, "id");
  expect(general(registered.url)).toBe(general(shown.url));
  expect(general(registered.sse)).toBe(general(shown.sse));

  const published = JSON.parse(example(PAGE, "published.json"));
  expect(await run("publish.sh")).toEqual({ ...published, epoch: expect.any(String) });
  expect([await phone.next(), await laptop.next()]).toEqual(["hi", "hi"]);
  expect(await run("batch.sh")).toMatchObject([{ offset: 2 }, { offset: 3 }]);
  expect(await phone.take(2)).toEqual(['{"n":1}', '{"n":2}']);

  const client = await relay.open(registered.url);
  await relay.publish("orders", "for its first topics");
  expect(await client.next()).toBe("for its first topics");

  const { publications } = await run("history.sh");
  expect(publications).toEqual([
    { offset: 2, data: { n: 1 } },
    { offset: 3, data: { n: 2 } },
  ]);

  const lines = example(PAGE, "lines.sh").replace("http://127.0.0.1:8000", relay.url);
  const parsed = (text: string) =>
    text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  const answers = parsed(example(PAGE, "lines.ndjson"));
  const epoch = expect.any(String);
  expect(parsed(await shell.run(lines))).toEqual([
    { ...answers[0], epoch },
    answers[1],
    { ...answers[2], epoch },
  ]);
  expect(await phone.take(2)).toEqual(["one", '{"n":2}']);

  const refused = await relay.post("/publish", { topic: "", message: "hi" });
  const error = JSON.parse(example(PAGE, "error.json"));
  expect(refused.json).toEqual({ error: { ...error.error, message: expect.any(String) } });
});

test("the backend of docs/publishing.md registers, and publishes once though an answer is lost", async () => {
  const key = "a-long-enough-api-key";
  await using relay = await startRelay({ BATON_API_KEYS: key });
  let answers = 0;
  // The first answer is lost after the relay has given it, and the second says that it cannot serve.
  using proxy = Bun.serve({
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const { method, headers } = request;
      if (pathname === "/publish" && ++answers === 2) return new Response("", { status: 503 });
      const body = await request.text();
      const answer = await fetch(relay.url + pathname, { method, headers, body });
      if (pathname !== "/publish" || answers > 1) return answer;
      return new Response("", { status: 502 });
    },
  });
  const env = { RELAY_URL: `http://127.0.0.1:${proxy.port}`, RELAY_KEY: key };
  const soon = (work: () => void) => setTimeout(work, 1);
  const given = { process: { env }, setTimeout: soon };
  const { register, publish } = runExample(
    example(PAGE, "backend.js"),
    given,
    "{ register, publish }",
  );
  const { url, sse } = await register(1, ["news"]);
  expect(sse).toContain("/sse/");
  const client = await relay.open(url.replace(/:\d+\//, `:${relay.port}/`));
  expect(await publish("news", { n: 1 })).toMatchObject({ offset: 1, delivered: 1 });
  expect(answers).toBe(3);
  expect(await publish("news", "for one", { user_id: 1 })).toMatchObject({ offset: 2 });
  expect(await client.take(2)).toEqual(['{"n":1}', "for one"]);
  expect(publish("", 1)).rejects.toThrow("invalid_topic");
});

test("the backend of docs/publishing.md needs no key where the relay has none", async () => {
  await using relay = await startRelay();
  const given = { process: { env: { RELAY_URL: relay.url } } };
  const publish = runExample(example(PAGE, "backend.js"), given, "publish");
  expect(await publish("news", "hi")).toMatchObject({ offset: 1 });
});

test("lines.js of docs/publishing.md has each line answered while its request is open", async () => {
  const key = "a-long-enough-api-key";
  await using relay = await startRelay({ BATON_API_KEYS: key });
  const given = { process: { env: { RELAY_URL: relay.url, RELAY_KEY: key } } };
  const publishLines = runExample(example(PAGE, "lines.js"), given, "publishLines");
  let answered = 0;
  async function* publications() {
    for (const topic of ["news", "", "news"]) {
      yield { topic, message: "é" };
      await until("its answer", () => answered > 0);
    }
  }
  const answers: unknown[] = [];
  for await (const answer of publishLines(publications())) answered = answers.push(answer);
  expect(answers).toMatchObject([
    { offset: 1 },
    { error: { code: "invalid_topic" }, line: 2 },
    { offset: 2 },
  ]);
  const wrong = { process: { env: { RELAY_URL: relay.url, RELAY_KEY: "no" } } };
  const refused = runExample(example(PAGE, "lines.js"), wrong, "publishLines")(publications());
  expect(refused.next()).rejects.toThrow("unauthorized");
});

test("the topics file of docs/publishing.md is valid", async () => {
  using folder = new Folder();
  const path = `${folder.path}/topics.json`;
  await Bun.write(path, example(PAGE, "topics.json"));
  expect(readTopicsFile(path)).toMatchObject({
    "orders:": { historySize: 1_000, historyTtlMs: 3_600_000 },
    "typing:": { historySize: 0 },
    "room:": { presence: true },
  });
});
