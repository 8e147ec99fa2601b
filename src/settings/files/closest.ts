// Which name is most likely meant by one that is misspelt.

/**
 * The one of these names that takes the fewest letters to change, the first of several. Neither case nor BATON_ in front nor an S at the
 * end counts.
 */
export function closest(name: string, names: readonly string[]): string {
  const given = plain(name);
  let best = "";
  let fewest = Number.POSITIVE_INFINITY;
  for (const one of names) {
    const changes = distance(given, plain(one));
    if (changes >= fewest) continue;
    fewest = changes;
    best = one;
  }
  return best;
}

/** Longer names than any setting has are cut, since the cost grows with the length. */
function plain(name: string): string {
  return name
    .slice(0, 64)
    .toUpperCase()
    .replace(/^BATON_|S$/g, "");
}

/** How many letters must be added, taken away or replaced (Levenshtein). */
function distance(from: string, to: string): number {
  let above = Array.from({ length: to.length + 1 }, (_, i) => i);
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const replaced = (above[j - 1] as number) + (from[i - 1] === to[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (above[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    above = row;
  }
  return above[to.length] as number;
}
