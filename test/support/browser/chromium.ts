// Debian's Chromium, for tests of pages.
import { type Browser, chromium } from "playwright-core";
import { DEADLINE_MS } from "../wait";

/** Throws where it is not installed. What is waited for in its pages has as much time as in any other test. */
export async function openChromium(args: readonly string[] = []): Promise<Browser> {
  const executablePath = Bun.which("chromium");
  if (executablePath === null) {
    throw new Error("These tests need Debian's Chromium: apt-get install chromium.");
  }
  // As root, which CI is, Chromium starts only without its sandbox.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...args] });
  browser.on("context", (context) => context.setDefaultTimeout(DEADLINE_MS));
  return browser;
}
