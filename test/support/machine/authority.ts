// A private authority that issues certificates, made by openssl, and the trust of this process's clients in it.
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, setDefaultCACertificates } from "node:tls";
import { within } from "../wait";
import { Folder } from "./folder";

const CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

const ADDRESSES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1";

/** The files of a certificate and its key. */
export interface IssuedCertificate {
  readonly cert: string;
  readonly key: string;
}

export class Authority {
  readonly folder = new Folder();
  /** The path of its own certificate. */
  readonly ca = join(this.folder.path, "ca.crt");
  readonly #key = join(this.folder.path, "ca.key");

  constructor() {
    const request = ["req", "-x509", ...CURVE, "-days", "30", "-subj", "/CN=Test authority"];
    this.openssl([...request, "-keyout", this.#key, "-out", this.ca]);
  }

  /** A certificate for this machine, in files of this name. */
  issue(name: string, options: readonly string[] = CURVE): IssuedCertificate {
    const at = (end: string) => join(this.folder.path, `${name}.${end}`);
    const [cert, key, request, extensions] = [at("crt"), at("key"), at("csr"), at("ext")];
    this.openssl([
      "req",
      "-new",
      ...options,
      "-subj",
      `/CN=${name}`,
      "-keyout",
      key,
      "-out",
      request,
    ]);
    writeFileSync(extensions, ADDRESSES);
    const issued = ["-CA", this.ca, "-CAkey", this.#key, "-CAcreateserial", "-extfile", extensions];
    this.openssl(["x509", "-req", "-in", request, ...issued, "-days", "20", "-out", cert]);
    return { cert, key };
  }

  openssl(words: readonly string[]): void {
    const { exitCode, stderr } = Bun.spawnSync(["openssl", ...words], { stderr: "pipe" });
    if (exitCode !== 0) throw new Error(`openssl ${words[0]}: ${stderr}`);
  }

  /** Has fetch, WebSocket and node:tls of this process trust it, on this machine's addresses. */
  trust(): void {
    const ca = readFileSync(this.ca, "utf8");
    setDefaultCACertificates([ca]);
    const { fetch: plainFetch, WebSocket: PlainSocket } = globalThis;
    const trusting = (url: string | URL | Request) =>
      /^(?:https|wss):\/\/(?:127\.0\.0\.1|localhost)[:/]/.test(String(url)) ? { tls: { ca } } : {};
    globalThis.fetch = Object.assign(
      (url: string | URL | Request, init?: RequestInit) =>
        plainFetch(url, { ...init, ...trusting(url) }),
      { preconnect: plainFetch.preconnect },
    );
    globalThis.WebSocket = class extends PlainSocket {
      constructor(url: string | URL, options?: string | string[] | Bun.WebSocketOptions) {
        const given =
          typeof options === "object" && !Array.isArray(options) ? options : { protocols: options };
        super(url, { ...given, ...trusting(url) } as Bun.WebSocketOptions);
      }
    } as typeof WebSocket;
  }
}

let shared: Authority | undefined;

/** The authority that the tests of this process share and trust. */
export function trustedAuthority(): Authority {
  if (shared === undefined) {
    const authority = new Authority();
    process.on("exit", () => rmSync(authority.folder.path, { recursive: true, force: true }));
    authority.trust();
    shared = authority;
  }
  return shared;
}

/** The settings for a relay with a certificate of this name that the tests trust. */
export function withTls(name = "relay"): { BATON_TLS_CERT: string; BATON_TLS_KEY: string } {
  const { cert, key } = trustedAuthority().issue(name);
  return { BATON_TLS_CERT: cert, BATON_TLS_KEY: key };
}

/** The name in the certificate that a new connection to this port gets. */
export function nameOf(port: number): Promise<string> {
  const name = new Promise<string>((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on("error", reject);
  });
  return within("a handshake", name);
}
