/** Why a page has no other transports. The build puts it in the place of core/schemes/refused.ts (rolldown.config.js). */

const NO_TCP = "a page has no sockets of TCP; a peer that binds ws:// or wss:// is within its reach";

export const REFUSED: Readonly<Record<string, string>> = {
  tcp: NO_TCP,
  tls: NO_TCP,
  ipc: "a page has no local sockets; inproc:// reaches sockets of pages and workers",
  inproc: 'a page has it after: import { enableInproc } from "shoal/browser/inproc"; enableInproc()',
  udp: "a page has no datagrams",
  pgm: "PGM needs raw sockets",
  epgm: "PGM over UDP needs datagrams",
};
