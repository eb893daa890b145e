/** Replaces core/tls-certificates.ts: a page has no certificates. */

export const TLS_CERTIFICATES_RULE = "null";

export function isTlsCertificates(): boolean {
  return false;
}

export function tlsFault(): undefined {}
