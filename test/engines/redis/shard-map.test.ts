// Which server a topic belongs to.
import { expect, test } from "bun:test";
import { ShardMap } from "../../../src/engines/redis/shard-map";

const NAMES = Array.from({ length: 30_000 }, (_, i) => `topic:${i}`);
const urls = (count: number) =>
  Array.from({ length: count }, (_, i) => `redis://10.0.0.${i + 1}:6379`);
const shardMap = (list: readonly string[]) => new ShardMap(list, (url) => url);

test("topics are spread evenly over the servers", () => {
  for (const count of [2, 3, 7]) {
    const servers = shardMap(urls(count));
    const counts = new Map<string, number>();
    for (const name of NAMES) {
      const server = servers.of(name);
      counts.set(server, (counts.get(server) ?? 0) + 1);
    }
    const fair = NAMES.length / count;
    expect(counts.size).toBe(count);
    for (const share of counts.values()) expect(Math.abs(share / fair - 1)).toBeLessThan(0.06);
  }
});

test("topics are spread evenly over servers whose addresses hardly differ, such as databases of one server", () => {
  const servers = shardMap(["redis://h/0", "redis://h/1", "redis://h/2"]);
  const counts = new Map<string, number>();
  for (let i = 0; i < 3_000; i++) {
    const server = servers.of(String(i));
    counts.set(server, (counts.get(server) ?? 0) + 1);
  }
  for (const share of counts.values()) expect(Math.abs(share - 1_000)).toBeLessThan(120);
});

test("an added server moves only the topics that it gains", () => {
  const three = shardMap(urls(3));
  const four = shardMap(urls(4));
  const moved = NAMES.filter((name) => three.of(name) !== four.of(name));
  expect(new Set(moved.map((name) => four.of(name)))).toEqual(new Set(["redis://10.0.0.4:6379"]));
  expect(Math.abs(moved.length / (NAMES.length / 4) - 1)).toBeLessThan(0.06);
});

test("the order, the passwords and the default parts of the addresses do not matter", () => {
  const one = shardMap(["redis://a:6379/0", "redis://b:6379", "redis://c:7000/2"]);
  const other = shardMap(["redis://:secret@c:7000/2", "redis://user:pw@A", "rediss://b/"]);
  const name = (url: string) => new URL(url).hostname.toLowerCase();
  for (const topic of NAMES) expect(name(other.of(topic))).toBe(name(one.of(topic)));
});
