// The files that BATON_TLS_CERT and BATON_TLS_KEY name, and the error line for wrong ones.
import { afterEach, beforeAll, describe, expect, setSystemTime, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { warnings } from "../../src/settings/checks";
import type { Env } from "../../src/settings/kinds";
import { readSettings } from "../../src/settings/read";
import { Authority, type IssuedCertificate } from "../support/machine/authority";

const DAY_MS = 86_400_000;

let authority: Authority;
let one: IssuedCertificate;
let other: IssuedCertificate;
beforeAll(() => {
  authority = new Authority();
  one = authority.issue("one");
  other = authority.issue("other");
  return () => authority.folder[Symbol.dispose]();
});

afterEach(() => {
  setSystemTime();
});

const fileWith = (name: string, text: string): string => {
  const path = join(authority.folder.path, name);
  writeFileSync(path, text);
  return path;
};

const settingsWith = (cert: string, key: string) =>
  readSettings({ BATON_TLS_CERT: cert, BATON_TLS_KEY: key });

const refusal = (env: Env): string => {
  try {
    readSettings(env);
  } catch (error) {
    return (error as Error).message;
  }
  return "it was accepted";
};

const refusalOf = (cert: string, key: string): string =>
  refusal({ BATON_TLS_CERT: cert, BATON_TLS_KEY: key });

test("without files there is no certificate", () => {
  expect(readSettings({}).certificate).toBeUndefined();
});

test("a certificate of 20 days and those that it was issued by are taken, without a warning", () => {
  const chain = fileWith(
    "chain.crt",
    readFileSync(one.cert, "utf8") + readFileSync(authority.ca, "utf8"),
  );
  const settings = settingsWith(chain, one.key);
  const days = ((settings.certificate?.expiresAt ?? 0) - Date.now()) / DAY_MS;
  expect(Math.round(days)).toBe(20);
  expect(warnings(settings).join()).not.toContain("certificate");
});

test.each([
  ["RSA", ["-newkey", "rsa:2048", "-nodes"]],
  ["Ed25519", ["-newkey", "ed25519", "-nodes"]],
])("a certificate with a key for %s is taken", (name, options) => {
  const { cert, key } = authority.issue(name, options);
  expect(settingsWith(cert, key).certificate).toBeDefined();
});

test("a certificate that has less than a week left is warned of", () => {
  setSystemTime(Date.now() + 13.5 * DAY_MS);
  const [warning = ""] = warnings(settingsWith(one.cert, one.key)).slice(-1);
  expect(warning).toMatch(/^the TLS certificate expires at \d{4}-.*Z: renew it and send SIGHUP$/);
});

describe("the line that stops the start", () => {
  test("says that the other setting is missing", () => {
    expect(refusal({ BATON_TLS_CERT: one.cert })).toBe("BATON_TLS_CERT needs BATON_TLS_KEY too.");
    expect(refusal({ BATON_TLS_KEY: one.key })).toBe("BATON_TLS_KEY needs BATON_TLS_CERT too.");
  });

  test("says that a file cannot be read, is a folder, or is too large", () => {
    expect(refusalOf("/nowhere/a.crt", one.key)).toMatch(
      /^BATON_TLS_CERT="\/nowhere\/a.crt" is not allowed: it cannot be read: ENOENT.*\.$/,
    );
    expect(refusalOf(one.cert, authority.folder.path)).toContain("it is a directory");
    const large = fileWith("large.key", "x".repeat(1_048_577));
    expect(refusalOf(one.cert, large)).toContain("it has more than 1048576 bytes");
  });

  test("says what a file lacks", () => {
    expect(refusalOf(one.key, one.key)).toContain("it has no certificate in PEM");
    expect(refusalOf(one.cert, one.cert)).toContain("it has no private key in PEM");
    const block = (what: string) => `-----BEGIN ${what}-----\naGVsbG8=\n-----END ${what}-----\n`;
    const bad = fileWith("bad.pem", block("CERTIFICATE") + block("PRIVATE KEY"));
    expect(refusalOf(bad, one.key)).toContain("its certificate number 1 cannot be read");
    expect(refusalOf(one.cert, bad)).toContain("its private key cannot be read");
  });

  test("says that the key needs a passphrase", () => {
    const path = join(authority.folder.path, "locked.key");
    authority.openssl(["pkey", "-in", one.key, "-aes256", "-passout", "pass:secret", "-out", path]);
    expect(refusalOf(one.cert, path)).toContain("it needs a passphrase");
  });

  test("says that the key is that of another certificate, and which one of the file", () => {
    expect(refusalOf(one.cert, other.key)).toBe(
      `BATON_TLS_KEY=${JSON.stringify(other.key)} is not allowed: it is not the key of the certificate in BATON_TLS_CERT.`,
    );
    const chain = fileWith(
      "turned.crt",
      readFileSync(other.cert, "utf8") + readFileSync(one.cert, "utf8"),
    );
    expect(refusalOf(chain, one.key)).toContain("it is the key of certificate number 2");
  });

  test("says when a certificate expired, or from when on it is valid", () => {
    setSystemTime(Date.now() + 21 * DAY_MS);
    expect(refusalOf(one.cert, one.key)).toMatch(/it expired at \d{4}-\S+Z\. Renew it\.$/);
    setSystemTime(Date.now() - 42 * DAY_MS);
    expect(refusalOf(one.cert, one.key)).toMatch(/it is valid only from \d{4}-\S+Z on\.$/);
  });

  test("says that Bun cannot use the key's kind", () => {
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-nodes"];
    const { cert, key } = authority.issue("curve", kind);
    expect(refusalOf(cert, key)).toContain("UNSUPPORTED_ALGORITHM");
  });
});
