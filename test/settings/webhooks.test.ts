// The settings of webhooks: receivers with what they want, and secrets that libraries take.
import { describe, expect, test } from "bun:test";
import { readSettings } from "../../src/settings/read";

const SECRET = `whsec_${"A".repeat(40)}`;

const read = (receivers: string, secrets = SECRET) =>
  readSettings({ BATON_WEBHOOKS: receivers, BATON_WEBHOOK_SECRETS: secrets }).webhookReceivers;

describe("BATON_WEBHOOKS", () => {
  test("without more than a URL, a receiver gets all events of all topics", () => {
    const [receiver] = read("https://app.example.com");
    expect(receiver?.url).toBe("https://app.example.com/");
    expect(receiver?.types).toContain("topic.occupied");
    expect(receiver?.prefixes).toEqual([]);
    expect(receiver?.keys).toHaveLength(1);
  });

  test("names what each receiver wants", () => {
    const found = read(
      "https://a.example.com/x?y=1 topics=news:+a%2Bb types=client.slow, http://b.example.com types=topic.vacated+topic.occupied",
    );
    expect(found).toMatchObject([
      { types: ["client.slow"], prefixes: ["news:", "a+b"] },
      { types: ["topic.vacated", "topic.occupied"], prefixes: [] },
    ]);
  });

  test.each([
    ["app.example.com", "URL of http:// or https://"],
    ["ftp://app.example.com", "URL of http:// or https://"],
    ["https://a.example.com types=online", 'wants "online". Types are '],
    ["https://a.example.com type=client.slow", 'has "type=client.slow"'],
    ["https://a.example.com topics=news*", '"news*"'],
    ["https://a.example.com topics=%E0%A4", '"%E0%A4"'],
    ["https://a.example.com, https://a.example.com/", "has a URL that another has too"],
    [Array.from({ length: 11 }, (_, i) => `https://a/${i}`).join(","), "has 11 receivers"],
  ])("%p is refused", (text, why) => {
    expect(() => read(text)).toThrow(why);
  });
});

describe("BATON_WEBHOOK_SECRETS", () => {
  test("a secret with a host is only for the receivers there, which have no others", () => {
    const own = `whsec_${"B".repeat(40)}@b.example.com:81`;
    const found = read("https://a.example.com,https://b.example.com:81", `${SECRET},${own}`);
    expect(found.map(({ keys }) => keys.map((key) => key[0]))).toEqual([[0], [4]]);
  });

  test.each([
    "plain-text-secret",
    "whsec_",
    `whsec_${"A".repeat(28)}`,
    `whsec_${"A".repeat(92)}`,
    `whsec_${"A".repeat(41)}`,
    "A".repeat(40),
    `whsec_${"A".repeat(39)}-`,
  ])("%p is refused with how to make one, and is not shown", (secret) => {
    let line = "";
    try {
      read("https://a.example.com", secret);
    } catch (error) {
      line = (error as Error).message;
    }
    expect(line).toContain('echo "whsec_$(openssl rand -base64 32)"');
    expect(line).not.toContain("AAA");
    expect(line).not.toContain("plain");
  });

  test("a receiver without a secret, and a secret without a receiver, are refused", () => {
    expect(() => read("https://a.example.com", "-")).toThrow("no secret for it");
    expect(() => read("https://a.example.com", `${SECRET},${SECRET}@other.example.com`)).toThrow(
      "a secret for other.example.com",
    );
  });
});
