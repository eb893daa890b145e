/** Replaces core/system-options.ts: a page has no TCP sockets, and its sockets no properties for their options. */

export const SYSTEM_OPTIONS = {};

const NAMES =
  /^(?:tls|tcp|gssapi|multicast|vmci|backlog|interface|(?:send|receive)BufferSize|typeOfService|socksProxy|wsOrigins|loopbackFastPath|rate$|recoveryInterval)/;

export function whyNoOption(name: string): string | undefined {
  return NAMES.test(name) ? `a page cannot set the option ${name}: its browser decides` : undefined;
}
