// The charts of the bench in Debian's Chromium, in light and dark, as a page shows them: every text is whole, stands on nothing but
// the background, and has enough contrast to it.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { chartsOf } from "../../bench/report/chart";
import type { Results } from "../../bench/report/results";
import { SCENARIOS } from "../../bench/scenarios";
import { TARGETS } from "../../bench/targets";
import { openChromium } from "../support/browser/chromium";

const NAMES = TARGETS.map(({ name }) => name);

const folder = join(import.meta.dir, "../../bench/results");
const latest: Results = await Bun.file(join(folder, "latest.json")).json();
const committed = readdirSync(folder).filter((file) => /^latest.*\.svg$/.test(file));

/** A result that has everything that the bench can measure, with values from tiny to long. */
const everything: Results = {
  ...latest,
  panels: SCENARIOS.map((scenario) => {
    const targets = scenario.targets?.(NAMES) ?? NAMES;
    const figures = scenario.figures(latest.parameters);
    const rows = targets.map((target, i) => {
      const median = 0.123 * 17 ** (i % 4);
      const value = { median, min: median, max: median };
      const cells = figures.map(({ name }) => ({ figure: name, runs: [], value, ratio: value }));
      const counts = { received: 0, expected: 0, serverCores: undefined, failure: undefined };
      return { target, title: target, cells, ...counts };
    });
    const { name } = scenario;
    return { scenario: name, title: name, control: "control", figures, rows };
  }),
};

const pictures = new Map<string, string>();
for (const file of committed) pictures.set(file, await Bun.file(join(folder, file)).text());
for (const [suffix, svg] of chartsOf(everything)) pictures.set(`a full result${suffix}`, svg);

/** What WCAG 2.2 asks for in 1.4.3. */
const CONTRAST_MIN = 4.5;

/** A text or a bar as the browser has laid it out, in pixels. */
interface Shape {
  readonly kind: "text" | "bar";
  readonly text: string;
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  /** Red, green and blue, from 0 to 255. */
  readonly colour: readonly number[];
}

interface Picture {
  readonly card: Shape;
  readonly shapes: readonly Shape[];
}

/** Runs in the browser. The last letter of a text may lean a little out of its box, so boxes are measured as they are. */
const MEASURE = `(() => {
  const shape = (kind) => (element) => {
    const { left, top, right, bottom } = element.getBoundingClientRect();
    const colour = getComputedStyle(element).fill.match(/[\\d.]+/g).map(Number);
    return { kind, text: element.textContent, left, top, right, bottom, colour };
  };
  const all = (selector) => [...document.querySelectorAll(selector)];
  return {
    card: shape("bar")(document.querySelector(".card")),
    shapes: [...all("text").map(shape("text")), ...all("rect.bar").map(shape("bar"))],
  };
})()`;

let browser: Browser;
let page: Page;
beforeAll(async () => {
  browser = await openChromium();
  page = await browser.newPage({ viewport: { width: 1_000, height: 1_500 } });
});
afterAll(async () => {
  await browser?.close();
});

async function rendered(svg: string, colorScheme: "light" | "dark"): Promise<Picture> {
  await page.emulateMedia({ colorScheme });
  await page.setContent(`<!doctype html><body>${svg}`);
  return (await page.evaluate(MEASURE)) as Picture;
}

function areApart(one: Shape, other: Shape): boolean {
  return (
    one.right <= other.left ||
    other.right <= one.left ||
    one.bottom <= other.top ||
    other.bottom <= one.top
  );
}

function luminance([red = 0, green = 0, blue = 0]: readonly number[]): number {
  const linear = (part: number) =>
    part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4;
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

function contrast(one: Shape, other: Shape): number {
  const [dark = 0, light = 0] = [luminance(one.colour), luminance(other.colour)].toSorted(
    (a, b) => a - b,
  );
  return (light + 0.05) / (dark + 0.05);
}

/** What is wrong with a picture, a sentence for each fault. */
function faultsOf({ card, shapes }: Picture): string[] {
  const texts = shapes.filter(({ kind }) => kind === "text");
  return texts.flatMap((one) => {
    const isInside =
      one.left >= card.left &&
      one.right <= card.right &&
      one.top >= card.top &&
      one.bottom <= card.bottom;
    const found = isInside ? [] : [`"${one.text}" leaves the picture`];
    if (contrast(one, card) < CONTRAST_MIN) found.push(`"${one.text}" is too faint`);
    for (const other of shapes.slice(shapes.indexOf(one) + 1)) {
      const what = other.kind === "text" ? `"${other.text}"` : "a bar";
      if (!areApart(one, other)) found.push(`"${one.text}" overlaps ${what}`);
    }
    return found;
  });
}

const cases = [...pictures.keys()].flatMap((name) => [
  [name, "light"] as const,
  [name, "dark"] as const,
]);

test.each(cases)(
  "the chart of %s in a %s page has only texts that are whole, apart and legible",
  async (name, colours) => {
    const picture = await rendered(pictures.get(name) ?? "", colours);
    expect(picture.shapes.length).toBeGreaterThan(10);
    expect(faultsOf(picture)).toEqual([]);
  },
);

test("the check sees texts that overlap, that a bar covers, that are cut, and that are too faint", async () => {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="200" height="100">
    <rect class="card" width="200" height="100" fill="#ffffff"/>
    <text x="10" y="20">name</text><text x="20" y="20">figure</text>
    <text x="10" y="50">covered</text><rect class="bar" x="40" y="40" width="50" height="10"/>
    <text x="190" y="50">cut</text><text x="10" y="80" fill="#c0c0c0">faint</text></svg>`;
  expect(faultsOf(await rendered(svg, "light"))).toEqual([
    '"name" overlaps "figure"',
    '"covered" overlaps a bar',
    '"cut" leaves the picture',
    '"faint" is too faint',
  ]);
});
