// Debian's Chromium, for tests of pages.
import { type Browser, chromium } from "playwright-core";

/** Throws where it is not installed. */
export async function openChromium(): Promise<Browser> {
  const executablePath = Bun.which("chromium");
  if (executablePath === null) {
    throw new Error("These tests need Debian's Chromium: apt-get install chromium.");
  }
  // As root, which CI is, Chromium starts only without its sandbox.
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}
