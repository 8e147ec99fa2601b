// What docs/push.md has people run works as it stands. Its page and service worker: slow/push/browser.slow.ts.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { example, ROOT } from "../../support/docs/pages";
import { Folder } from "../../support/machine/folder";
import { registerDevice } from "../../support/push/push-relay";
import { PushService } from "../../support/push/push-service";
import { startRelay } from "../../support/relay/test-relay";
import { until } from "../../support/wait";

const PAGE = "docs/push.md";

test("the settings that docs/push.md makes, its rule and its publication reach a device", async () => {
  using folder = new Folder();
  await shell(example(PAGE, "setup.sh").replace("npx -y bun@1.4.4 src", `bun ${ROOT}/src`), folder);
  const text = await Bun.file(join(folder.path, "baton.env")).text();
  const env = Object.fromEntries(
    text
      .trim()
      .split("\n")
      .map((line) => line.split(/=(.*)/s)),
  );
  const topics = join(folder.path, "topics.json");
  await Bun.write(topics, example(PAGE, "topics.json"));
  await using service = new PushService();
  await using relay = await startRelay({
    ...env,
    BATON_TOPICS_FILE: topics,
    BATON_PUSH_AFTER_MS: "10",
    BATON_WEBHOOKS_PRIVATE: "1",
  });
  await registerDevice(relay, "alice", service.subscription("phone"));
  await shell(example(PAGE, "publish.sh").replace("http://127.0.0.1:8000", relay.url), folder);
  const [push] = await service.taken("phone");
  expect(push?.data).toMatchObject({ title: "Bob", url: "/chat/bob", topic: "chat" });
  expect(push?.headers.get("ttl")).toBe("3600");
  const asked = example(PAGE, "fate.sh").replace("http://127.0.0.1:8000", relay.url);
  const answer = async () => JSON.parse(await shell(asked, folder));
  await until("the answer", async () => (await answer()).push.devices[0]?.state === "accepted");
  const data = { from: "Ann", text: "Lunch?" };
  await relay.post("/publish", { topic: "chat:7", user_id: "alice", data });
  const [, other] = await service.taken("phone", 2);
  expect(other?.data).toMatchObject({ title: "Ann", body: "Lunch?", topic: "chat:7" });
});

async function shell(script: string, { path }: Folder): Promise<string> {
  const run = Bun.spawn(["bash", "-euc", script], { cwd: path, stderr: "pipe" });
  if ((await run.exited) !== 0) throw new Error(await run.stderr.text());
  return run.stdout.text();
}
