// GET /console: what it is served with, and to whom. test/slow/console/ has what it does in a browser.
import { describe, expect, test } from "bun:test";
import { startRelay } from "../../support/relay/test-relay";

const KEYS = { BATON_API_KEYS: "a-key-of-the-backend" };

describe("GET /console", () => {
  test("I12: is a page that loads nothing but the relay's own files, and that no other page can show", async () => {
    await using relay = await startRelay(KEYS);
    const page = await relay.request("GET", "/console");
    expect([page.status, page.headers.get("content-type")]).toEqual([
      200,
      "text/html;charset=utf-8",
    ]);
    const policy = page.headers.get("content-security-policy");
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) {
      expect(policy).toContain(rule);
    }
    expect(policy).not.toContain("unsafe");
    expect(page.headers.get("access-control-allow-origin")).toBeNull();
    expect(page.text).not.toMatch(/<script(?![^>]*\bsrc=)|<style|\bon\w+=|https?:/);
    const files = [...page.text.matchAll(/(?:href|src)="([^"]+)"/g)].map(([, path]) => path);
    expect(files.length).toBeGreaterThanOrEqual(3);
    for (const file of files) {
      expect(file).toMatch(/^console\/[\w.-]+\.(js|css|svg)$/);
      const { status, headers, text } = await relay.request("GET", `/${file}`);
      expect([status, headers.get("x-content-type-options")]).toEqual([200, "nosniff"]);
      expect(headers.get("cache-control")).toContain("immutable");
      expect(text.length).toBeGreaterThan(100);
    }
  });

  test("has no file but those of the page", async () => {
    await using relay = await startRelay(KEYS);
    for (const name of ["x.js", "..%2fapp.ts", "index.html", "%2e%2e%2fpackage.json"]) {
      const { status, json } = await relay.request("GET", `/console/${name}`);
      expect([name, status, json.error.code]).toEqual([name, 404, "not_found"]);
    }
  });

  test("refuses what pages of other sites ask for, and lets their links lead there", async () => {
    await using relay = await startRelay(KEYS);
    const from = (site: string, mode: string) =>
      relay.request("GET", "/console", {
        headers: { "sec-fetch-site": site, "sec-fetch-mode": mode },
      });
    for (const site of ["cross-site", "same-site"]) {
      const { status, json } = await from(site, "no-cors");
      expect([status, json.error.code]).toEqual([403, "forbidden_origin"]);
    }
    expect((await from("cross-site", "navigate")).status).toBe(200);
    expect((await from("same-origin", "no-cors")).status).toBe(200);
    expect((await from("none", "navigate")).status).toBe(200);
  });

  test.each<[string, Record<string, string>, number]>([
    ["with keys", KEYS, 200],
    ["without keys on loopback", {}, 200],
    ["without keys on another address", { HOST: "0.0.0.0", BATON_INSECURE: "1" }, 404],
    ["with BATON_CONSOLE=off", { ...KEYS, BATON_CONSOLE: "off" }, 404],
  ])("of a relay %s answers as it must", async (_, env, status) => {
    await using relay = await startRelay(env);
    const response = await fetch(`http://127.0.0.1:${relay.port}/console`);
    expect(response.status).toBe(status);
  });
});
