// What a scrape says: the values of a text in the Prometheus format, by series and labels as they stand there.

export class Scrape {
  readonly text: string;
  readonly #values = new Map<string, number>();

  constructor(text: string) {
    this.text = text;
    for (const line of text.split("\n")) {
      const at = line.lastIndexOf(" ");
      if (at > 0 && !line.startsWith("#"))
        this.#values.set(line.slice(0, at), Number(line.slice(at)));
    }
  }

  static async of(url: string, headers: Record<string, string> = {}): Promise<Scrape> {
    const response = await fetch(url, { headers: { connection: "close", ...headers } });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`${url} answered ${response.status} ${text}`);
    return new Scrape(text);
  }

  /** The value of a series, such as `baton_deliveries_total{protocol="plain"}`; 0 when it is not there. */
  value(series: string): number {
    return this.#values.get(series) ?? 0;
  }

  /** The names of all series with values, without labels. */
  get names(): string[] {
    return [...new Set([...this.#values.keys()].map((key) => key.replace(/\{.*/, "")))];
  }
}
