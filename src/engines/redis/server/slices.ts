// A list in parts, for commands and scripts that take a bounded number of items.

/** The items in their order, at most `size` in each part. */
export function slices<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, i) => items.slice(i * size, (i + 1) * size));
}
