// Text in an SVG. An SVG neither measures nor wraps text, so its width is estimated here, rather too wide than too narrow,
// because the reader's font is not known.

export interface Font {
  readonly sizePx: number;
  readonly weight: number;
}

/** Widths in em, a little more than those of DejaVu Sans, which is the widest of the usual fonts. */
const WIDTHS: readonly { readonly characters: RegExp; readonly em: number }[] = [
  { characters: /[ijl.,:;'|!I ]/, em: 0.34 },
  { characters: /[frt()[\]/-]/, em: 0.42 },
  { characters: /[mwMW@%×]/, em: 0.98 },
  { characters: /[A-Z]/, em: 0.74 },
];
const OTHER_EM = 0.64;
const BOLD_FACTOR = 1.13;

/** How wide the text is at most, in pixels, in any of the usual sans-serif fonts. */
export function textWidth(text: string, { sizePx, weight }: Font): number {
  let ems = 0;
  for (const character of text) {
    ems += WIDTHS.find(({ characters }) => characters.test(character))?.em ?? OTHER_EM;
  }
  return ems * sizePx * (weight >= 600 ? BOLD_FACTOR : 1);
}

/** The text in lines that are at most so wide, broken between words. */
export function wrapped(text: string, font: Font, widthMax: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const last = lines[lines.length - 1];
    const longer = `${last} ${word}`;
    if (last !== undefined && textWidth(longer, font) <= widthMax) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
