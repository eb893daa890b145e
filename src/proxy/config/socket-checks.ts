/**
 * Checks of one socket that a schema cannot express: options that depend on each other, values only the library can
 * check, policy entries. Pure.
 */

import { type Finding, type Path, SHOWN } from "../../config/problem.js";
import { hasOption } from "../../core/option-table.js";
import { checkOption } from "../../sockets/check-options.js";
import { securityFault } from "../../sockets/security/check.js";
import { type PlanType, typeNameOf } from "../options.js";
import { BLOCK_RULE, parseBlock } from "../policy/addresses.js";
import { KEYS_RULE, RATE_RULE } from "../policy/policy.js";
import type { SocketConfiguration } from "./model.js";

type Given = Readonly<Record<string, unknown>>;

/** Bytes of a PLAIN name or password: one length byte (24/ZMTP-PLAIN). */
const MAX_CREDENTIAL = 255;

export interface EngineAbilities {
  readonly name: string;
  readonly transports: readonly string[];
  readonly unsupportedOptions: readonly string[];
}

/** @param whole whether the socket is complete, so that missing parts are faults */
export function checkSocket(
  path: Path,
  socket: SocketConfiguration,
  engine: EngineAbilities,
  whole: boolean,
): readonly Finding[] {
  const { options } = socket;
  const findings = [
    ...(whole ? exclusions(path, { ...options, tls: socket.tls }) : []),
    ...unsupported(path, options, engine),
    ...values(path, options),
    ...blocks(path, socket),
  ];
  if (!whole || findings.length > 0) return findings;
  const bare = socket.bind.find((endpoint) => /^(?:tls|wss):/.test(endpoint));
  if (bare !== undefined && socket.tls?.cert === undefined && options.tlsCert === undefined)
    return [
      { path: [...path, "bind"], message: `${bare} needs a certificate: tls: { cert: FILE, key: FILE }` },
    ];
  const asItWillBe = withKeys(options);
  const fault = securityFault(asItWillBe);
  if (fault !== undefined) return [{ path: [...path, fault.option], atKey: true, message: fault.message }];
  return policyNeeds(path, socket, asItWillBe);
}

function exclusions(path: Path, options: Given): readonly Finding[] {
  const findings: Finding[] = [];
  const has = (name: string): boolean => options[name] !== undefined;
  const exclude = (one: string, others: readonly string[]): void => {
    const other = has(one) ? others.find(has) : undefined;
    if (other === undefined) return;
    findings.push({ path: [...path, one], atKey: true, message: `${one} and ${other} exclude each other` });
  };
  exclude("curveCertificate", ["curveSecretKey", "curvePublicKey"]);
  exclude("plainUsers", [
    "plainUsername",
    "plainPassword",
    "curveServer",
    "curveServerKey",
    "curveCertificate",
  ]);
  exclude("tls", ["tlsCert", "tlsKey", "tlsCa"]);
  exclude("plainUsername", ["curveServer", "curveServerKey", "curveCertificate"]);
  return findings;
}

function unsupported(path: Path, options: Given, engine: EngineAbilities): readonly Finding[] {
  return Object.keys(options)
    .filter((name) => engine.unsupportedOptions.includes(name))
    .map((name) => ({
      path: [...path, name],
      atKey: true,
      message: `the engine ${engine.name} does not have it`,
    }));
}

/** Values that fit the schema but are invalid: undecodable keys, too long texts. */
function values(path: Path, { type, ...options }: Given): readonly Finding[] {
  const findings: Finding[] = [];
  const typeName = typeNameOf(type as PlanType);
  for (const [name, value] of Object.entries(options)) {
    if (!hasOption(typeName, name)) continue;
    try {
      checkOption(typeName, name, value);
    } catch (error) {
      findings.push({ path: [...path, name], message: (error as Error).message });
    }
  }
  const users = (options.plainUsers ?? {}) as Given;
  const credentials: readonly (readonly [place: Path, atKey: boolean, text: unknown])[] = [
    [[...path, "plainUsername"], false, options.plainUsername],
    [[...path, "plainPassword"], false, options.plainPassword],
    ...Object.entries(users).flatMap(([user, password]) => {
      const place = [...path, "plainUsers", user];
      return [[place, true, user] as const, [place, false, password] as const];
    }),
  ];
  for (const [place, atKey, text] of credentials) {
    const length = typeof text === "string" ? Buffer.byteLength(text) : 0;
    if (length <= MAX_CREDENTIAL) continue;
    const message = `PLAIN user names and passwords have at most ${MAX_CREDENTIAL} bytes; got ${length}`;
    findings.push({ path: place, atKey, message });
  }
  return findings;
}

function blocks(path: Path, { policy }: SocketConfiguration): readonly Finding[] {
  const findings: Finding[] = [];
  for (const [list, entries] of Object.entries((policy?.addresses ?? {}) as Record<string, string[]>)) {
    for (const [at, entry] of entries.entries()) {
      if (parseBlock(entry) !== undefined) continue;
      const got = entry.length > SHOWN ? `${entry.length} characters` : JSON.stringify(entry);
      const message = `expected an address or a block of them, ${BLOCK_RULE}; got ${got}`;
      findings.push({ path: [...path, "policy", "addresses", list, at], message });
    }
  }
  return findings;
}

function policyNeeds(path: Path, { policy }: SocketConfiguration, options: Given): readonly Finding[] {
  if (policy === undefined) return [];
  const findings: Finding[] = [];
  const { peer, all } = (policy.limits ?? {}) as Given;
  const found = (at: Path, message: string): void => {
    findings.push({ path: [...path, "policy", ...at], atKey: true, message });
  };
  if (policy.keys !== undefined && options.curveServer !== true) found(["keys"], KEYS_RULE);
  if (options.receiveHighWaterMark === 0 && (peer ?? all) !== undefined)
    found(["limits", peer === undefined ? "all" : "peer"], RATE_RULE);
  return findings;
}

/** Adds keys to come: a certificate has both, and a client without keys gets a pair. */
function withKeys(options: Given): Given {
  const client = options.curveServerKey !== undefined;
  if (options.curveCertificate !== undefined)
    return { ...options, curveSecretKey: "", curvePublicKey: "", ...(client ? {} : { curveServer: true }) };
  return client ? { curveSecretKey: "", curvePublicKey: "", ...options } : options;
}
