// Takes the picture of the console that README.md shows, of a relay that has something to do. UPDATE_PICTURES=1 puts it into docs/.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { openChromium } from "../../support/browser/chromium";
import { KEY, openConsole } from "../../support/browser/console-page";
import { Caller } from "../../support/relay/deployments";
import { RelayProcess } from "../../support/relay/relay-process";
import { until } from "../../support/wait";

const PICTURE = join(import.meta.dir, "../../../docs/console.png");

/** As much as a page that many read may load. */
const BYTES_MAX = 150_000;

const UPDATE = process.env.UPDATE_PICTURES === "1";

/** How long the charts of the picture go back. */
const SECONDS = UPDATE ? 25 : 3;

test("the picture of the console shows the charts of a busy relay, and is small", async () => {
  await using relay = await RelayProcess.start({ BATON_API_KEYS: KEY, BATON_WORKERS: "2" });
  await using caller = new Caller({ urls: [relay.url] } as never, KEY);
  await using browser = await openChromium();
  for (let i = 0; i < 60; i++) await caller.connect(`user ${i}`, ["news", `room ${i % 7}`]);
  for (let i = 0; i < 15; i++) await caller.follow(await caller.register(`phone ${i}`), ["news"]);
  const page = await openConsole(browser, relay.url, "overview", { width: 1_100 });
  const begun = performance.now();
  await until(
    "some seconds of figures",
    async () => {
      const count = 10 + Math.round(8 * Math.sin((performance.now() - begun) / 2_000));
      const batch = Array.from({ length: count }, (_, i) => ({
        topic: `room ${i % 7}`,
        message: "hello",
      }));
      await caller.post("/publish", batch);
      await caller.post("/publish", { topic: "news", message: "hello" });
      return performance.now() - begun > 1_000 * SECONDS;
    },
    1_000 * SECONDS + 20_000,
  );
  await caller.post("/publish", { topic: "" });
  await page.getByText("refused 1 × invalid_topic").waitFor();
  // A page is as high as its window, at least.
  await page.setViewportSize({ width: 1_100, height: 200 });
  const picture = await page.screenshot({ fullPage: true });
  expect(picture.length).toBeLessThan(BYTES_MAX);
  expect(picture.readUInt32BE(16)).toBe(1_100);
  if (UPDATE) await Bun.write(PICTURE, picture);
  expect(await Bun.file(PICTURE).exists()).toBe(true);
});
