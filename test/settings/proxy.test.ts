// The settings about questions to the backend: what a wrong one says, and what is refused because it would be unsafe.
import { expect, test } from "bun:test";
import { readSettings } from "../../src/settings/read";
import { topicsFile } from "../support/relay/topics-file";

test.each([
  ["BATON_PROXY_CONNECT", "ftp://user:secret@host"],
  ["BATON_PROXY_RPC", "secret"],
  ["BATON_PROXY_STATIC_HEADERS", "secret"],
  ["BATON_PROXY_STATIC_HEADERS", '{"X-A":"secret\\n"}'],
  ["BATON_PROXY_STATIC_HEADERS", '{"Host":"secret"}'],
])("%s is refused without showing %s", (variable, value) => {
  expect(() => readSettings({ [variable]: value })).toThrow(variable);
  expect(() => readSettings({ [variable]: value })).not.toThrow("secret");
});

test.each([
  "none",
  '[{"status_code":403,"to_error":{"code":7}}]',
  '[{"status_code":200,"to_disconnect":{"code":4500}}]',
])("BATON_PROXY_STATUS_ANSWERS is not %s", (value) => {
  expect(() => readSettings({ BATON_PROXY_STATUS_ANSWERS: value })).toThrow("STATUS_ANSWERS");
});

test.each([
  "Connection",
  "Host",
  "Upgrade",
  "Proxy-Authorization",
  "Sec-WebSocket-Key",
  "Content-Type",
  "a b",
])("BATON_PROXY_HEADERS cannot name %s", (name) => {
  expect(() => readSettings({ BATON_PROXY_HEADERS: name })).toThrow("BATON_PROXY_HEADERS");
  expect(() => readSettings({ BATON_PROXY_EMULATED_HEADERS: `X-A,${name}` })).toThrow("EMULATED");
});

test("names of headers count in any case, and once", () => {
  const { proxyHeaders } = readSettings({
    BATON_PROXY_HEADERS: "Authorization, X-Real-Ip,authorization",
  });
  expect(proxyHeaders).toEqual(["authorization", "x-real-ip"]);
});

test("cookies are passed on only from pages of known origins", () => {
  const env = { BATON_PROXY_HEADERS: "Cookie" };
  expect(() => readSettings(env)).toThrow("BATON_ORIGINS");
  expect(readSettings({ ...env, BATON_ORIGINS: "https://a.example" }).proxyHeaders).toEqual([
    "cookie",
  ]);
});

test("a header that the settings give cannot come from clients", () => {
  const env = { BATON_PROXY_STATIC_HEADERS: '{"X-Secret":"s"}' };
  expect(() => readSettings({ ...env, BATON_PROXY_EMULATED_HEADERS: "x-secret" })).toThrow(
    "x-secret",
  );
});

test("an address has no password where Authorization comes from clients", () => {
  const address = "http://relay:secret@10.0.0.1/";
  const env = { BATON_PROXY_HEADERS: "Authorization" };
  for (const asked of [
    { BATON_PROXY_CONNECT: address },
    { BATON_TOPICS_FILE: topicsFile({ "news:": { proxy_publish: address } }) },
  ]) {
    expect(() => readSettings({ ...env, ...asked })).toThrow("BATON_PROXY_STATIC_HEADERS");
    expect(() => readSettings({ ...env, ...asked })).not.toThrow("secret");
    expect(readSettings(asked)).toBeDefined();
  }
});

test("an address in a rule is an address, or nothing, and a wrong one is not shown", () => {
  const rules = (address: unknown) => ({
    BATON_TOPICS_FILE: topicsFile({ "news:": { proxy_subscribe: address } }),
  });
  expect(() => readSettings(rules("secret"))).toThrow("proxy_subscribe at news:");
  expect(() => readSettings(rules("secret"))).not.toThrow("secret");
  expect(readSettings(rules("")).topicRules["news:"]?.askSubscribe).toBe("");
});
