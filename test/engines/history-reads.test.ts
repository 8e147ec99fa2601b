// Reads of histories that wait for each other, so that their answers never take much at once.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { HistoryReads } from "../../src/engines/history-reads";
import { EngineUnavailable, type HistoryPage } from "../../src/relay/contracts/engine";

/** Reads whose answers the test gives. */
class Server {
  readonly underWay: {
    readonly name: number;
    readonly size: number;
    readonly answer: PromiseWithResolvers<HistoryPage>;
  }[] = [];
  readonly begun: number[] = [];

  read(name: number, size: number): () => Promise<HistoryPage> {
    return () => {
      const answer = Promise.withResolvers<HistoryPage>();
      this.underWay.push({ name, size, answer });
      this.begun.push(name);
      return answer.promise;
    };
  }

  get size(): number {
    return this.underWay.reduce((sum, { size }) => sum + size, 0);
  }
}

const pageOf = (offset: number): HistoryPage => ({ top: { epoch: "e", offset }, publications: [] });

const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("reads of histories", () => {
  test("are all answered, begun in their order, and never bring more at once than they may or one of them does", async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 15 }), { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(sizes, fc.infiniteStream(fc.nat()), async (all, picks) => {
        const server = new Server();
        const reads = new HistoryReads(10);
        const pages = all.map((size, i) => reads.run(size, server.read(i, size)));
        while (server.underWay.length > 0) {
          expect(server.size <= 10 || server.underWay.length === 1).toBe(true);
          const at = picks.next().value % server.underWay.length;
          const [read] = server.underWay.splice(at, 1);
          read?.answer.resolve(pageOf(read.name));
          await settled();
        }
        expect(await Promise.all(pages)).toEqual(all.map((_, i) => pageOf(i)));
        expect(server.begun).toEqual(all.map((_, i) => i));
      }),
      { numRuns: 50 },
    );
  });

  test("of nothing but the top never wait", () => {
    const server = new Server();
    const reads = new HistoryReads(10);
    void reads.run(10, server.read(1, 10));
    void reads.run(5, server.read(2, 5));
    void reads.run(0, server.read(3, 0));
    expect(server.begun).toEqual([1, 3]);
  });

  test("that wait are rejected with the first one that finds the engine out of reach; after that, they begin again", async () => {
    const server = new Server();
    const reads = new HistoryReads(10);
    const pages = [1, 2, 3].map((name) => reads.run(10, server.read(name, 10)));
    const outcomes = Promise.allSettled(pages);
    server.underWay.pop()?.answer.reject(new EngineUnavailable("gone"));
    expect((await outcomes).map(({ status }) => status)).toEqual(Array(3).fill("rejected"));
    void reads.run(10, server.read(4, 10));
    expect(server.begun).toEqual([1, 4]);
  });

  test("that fail for another reason cost no others", async () => {
    const server = new Server();
    const reads = new HistoryReads(10);
    const [first, second] = [1, 2].map((name) => reads.run(10, server.read(name, 10)));
    server.underWay.pop()?.answer.reject(new TypeError("a fault"));
    await expect(first).rejects.toThrow("a fault");
    server.underWay.pop()?.answer.resolve(pageOf(2));
    expect(await second).toEqual(pageOf(2));
  });
});
