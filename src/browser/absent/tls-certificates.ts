/** A page has no certificates of its own; stands in for core/tls-certificates.ts. */

export const TLS_CERTIFICATES_RULE = "null";

export function isTlsCertificates(): boolean {
  return false;
}

export function tlsFault(): undefined {}
