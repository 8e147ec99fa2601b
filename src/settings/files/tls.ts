// The settings about TLS, of the table in definitions.ts, and the certificate that they name. It is checked as a whole before anything
// uses it, with sentences that say what is wrong: OpenSSL's own name neither the file nor the mistake.
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { flag, path, SettingError } from "../kinds";
import { readTextFile } from "./text-file";

export const TLS = {
  tlsCert: path({
    variable: "BATON_TLS_CERT",
    description:
      "A file with the certificate for TLS in PEM, the server's own first and then those that it was issued by. With it and BATON_TLS_KEY the relay speaks https:// and wss:// itself, TLS 1.2 or newer. Both files are read again on SIGHUP.",
  }),
  tlsKey: path({
    variable: "BATON_TLS_KEY",
    description:
      "A file with the private key of the certificate in PEM, without a passphrase. Only the relay's own user should be able to read it.",
  }),
  http2: flag({
    variable: "BATON_HTTP2",
    description:
      "1 offers HTTP/2 too, with BATON_TLS_CERT only. Experimental, as in Bun. Browsers then open as many streams as they like over one connection, instead of six for all tabs. WebSockets stay on HTTP/1.1, on the same port.",
  }),
};

/** A certificate that is valid now, and its key. */
export interface Certificate {
  /** In PEM, with those that it was issued by. */
  readonly cert: string;
  readonly key: string;
  /** In milliseconds of the wall clock. */
  readonly validFrom: number;
  readonly expiresAt: number;
}

const FILE_BYTES_MAX = 1_048_576;

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const DAY_MS = 86_400_000;

/** A certificate that has less than a week left, and less than a third of its time, should have been renewed. */
const WARNING_MS = 7 * DAY_MS;

/** The certificate in these files; undefined where neither is set. Throws SettingError with the line to show. */
export function readCertificate(certPath: string, keyPath: string): Certificate | undefined {
  if (certPath === "" && keyPath === "") return undefined;
  if (certPath === "") throw new SettingError("BATON_TLS_KEY needs BATON_TLS_CERT too.");
  if (keyPath === "") throw new SettingError("BATON_TLS_CERT needs BATON_TLS_KEY too.");
  const certRefused = refusedAs("BATON_TLS_CERT", certPath);
  const keyRefused = refusedAs("BATON_TLS_KEY", keyPath);
  const cert = readText(certPath, certRefused);
  const key = readText(keyPath, keyRefused);
  const chain = certificatesIn(cert, certRefused);
  const [own] = chain as [X509Certificate];
  checkKey(chain, privateKeyIn(key, keyRefused), keyRefused);
  const validFrom = Date.parse(own.validFrom);
  const expiresAt = Date.parse(own.validTo);
  if (expiresAt <= Date.now()) throw certRefused(`it expired at ${dateOf(expiresAt)}. Renew it`);
  if (validFrom > Date.now()) {
    throw certRefused(`by the clock of this machine it is valid only from ${dateOf(validFrom)} on`);
  }
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    throw certRefused(`Bun cannot use it: ${messageOf(error)}`);
  }
  return { cert, key, validFrom, expiresAt };
}

/** A sentence for the log about a certificate that should be renewed by now. */
export function expiryWarning({ validFrom, expiresAt }: Certificate): string | undefined {
  const leftMs = expiresAt - Date.now();
  if (leftMs > Math.min(WARNING_MS, (expiresAt - validFrom) / 3)) return undefined;
  const end = dateOf(expiresAt);
  if (leftMs <= 0) return `the TLS certificate expired at ${end}: renew it and send SIGHUP`;
  return `the TLS certificate expires at ${end}: renew it and send SIGHUP`;
}

type Refused = (why: string) => SettingError;

function refusedAs(variable: string, path: string): Refused {
  return (why) => new SettingError(`${variable}=${JSON.stringify(path)} is not allowed: ${why}.`);
}

function readText(path: string, refused: Refused): string {
  try {
    return readTextFile(path, FILE_BYTES_MAX);
  } catch (error) {
    throw refused(`it ${messageOf(error)}`);
  }
}

function certificatesIn(text: string, refused: Refused): X509Certificate[] {
  const blocks = text.match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) {
    throw refused("it has no certificate in PEM, which begins with -----BEGIN CERTIFICATE-----");
  }
  return blocks.map((block, i) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw refused(`its certificate number ${i + 1} cannot be read: ${messageOf(error)}`);
    }
  });
}

function privateKeyIn(text: string, refused: Refused): KeyObject {
  if (/-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    throw refused("it needs a passphrase; remove that with: openssl pkey -in KEY -out NEW_KEY");
  }
  if (!text.includes("PRIVATE KEY-----")) {
    throw refused("it has no private key in PEM, which begins with -----BEGIN PRIVATE KEY-----");
  }
  try {
    return createPrivateKey(text);
  } catch (error) {
    throw refused(`its private key cannot be read: ${messageOf(error)}`);
  }
}

function checkKey(chain: readonly X509Certificate[], key: KeyObject, refused: Refused): void {
  if (chain[0]?.checkPrivateKey(key) === true) return;
  const place = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
  if (place < 0) throw refused("it is not the key of the certificate in BATON_TLS_CERT");
  throw refused(
    `it is the key of certificate number ${place + 1} in BATON_TLS_CERT, where the server's own must be the first`,
  );
}

function dateOf(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
