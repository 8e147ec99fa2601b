// The console in a browser, opened with the relay's key.
import type { Browser, Page } from "playwright-core";

export const KEY = "a-key-of-the-backend";

interface PageOptions {
  readonly width?: number;
  readonly scheme?: "light" | "dark";
}

/** What the page has logged as an error, or thrown. */
export const faults: string[] = [];

/** Opens the console; `view` is what its address names. */
export async function openConsole(
  browser: Browser,
  url: string,
  view = "overview",
  { width = 1_280, scheme = "light" }: PageOptions = {},
): Promise<Page> {
  const page = await browser.newPage({
    viewport: { width, height: 900 },
    colorScheme: scheme,
    reducedMotion: "reduce",
  });
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (line) => {
    // The first question of a page without a key is answered with 401, which Chromium logs.
    if (line.type() === "error" && !line.text().includes("401")) faults.push(line.text());
  });
  await page.goto(`${url}/console#${view}`);
  await page.getByLabel("API key").fill(KEY);
  await page.keyboard.press("Enter");
  await page.getByText("live", { exact: true }).waitFor();
  return page;
}

/** The rows of a table, each with the texts of its cells; empty while there is no such table. */
export async function rowsOf(page: Page, table: string): Promise<string[][]> {
  const rows = page.getByRole("region", { name: table, exact: true }).locator("tbody tr");
  return rows.evaluateAll((all) =>
    all.map((row) =>
      Array.from(row.querySelectorAll("td"), ({ textContent }) => textContent ?? ""),
    ),
  );
}
