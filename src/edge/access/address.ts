// The parts of a request's URL, which guard.ts has checked. They are cut out of its text, since `new URL` throws
// where the Host is valid in HTTP but not in the URL standard, such as 1.2.3.4.5.

/** The path, still percent-encoded. */
export function pathOf(url: string): string {
  const begin = url.indexOf("/", 8);
  const end = url.indexOf("?", begin);
  return end < 0 ? url.slice(begin) : url.slice(begin, end);
}

/** The query without its question mark, still percent-encoded. */
export function searchOf(url: string): string {
  const begin = url.indexOf("?");
  return begin < 0 ? "" : url.slice(begin + 1);
}
