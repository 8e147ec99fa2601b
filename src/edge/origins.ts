// Which pages may call the relay. Browsers always send Origin on a handshake, other clients need not.

/** Whether a request with this Origin may connect; `origins` holds `*` or exact origins. */
export function originAllowed(origin: string | null, origins: readonly string[]): boolean {
  return origin === null || origins.includes("*") || origins.includes(origin);
}
