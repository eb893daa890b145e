/**
 * Addresses of a Kubernetes Service's pods. It has slices (Kubernetes API, EndpointSlice) per address type;
 * an endpoint is a pod, and the ports apply to all.
 *
 *   { metadata: { name, resourceVersion }, addressType: "IPv4" | "IPv6" | "FQDN", ports: [{ name, port, protocol }],
 *     endpoints: [{ addresses: ["10.1.2.3"], hostname, conditions: { ready, serving, terminating } }] }
 */
import { isIPv4, isIPv6 } from "node:net";
import { ProtocolError } from "../../core/errors.js";
import { MAX_MEMBERS } from "../bounds.js";
import { fieldsOf, itemsOf } from "./http.js";

/** 16,384 pods in slices of 100, of both address types. */
const MAX_SLICES = 1_024;

export interface SliceRules {
  readonly service: string;
  readonly namespace: string;
  /** Default: the only port, or the one named `shoal`. */
  readonly port: number | string | undefined;
  readonly addressType: "ip" | "dns";
  readonly suffix: string;
  readonly family: 4 | 6 | undefined;
}

/**
 * Distinct, as a moving pod is in two slices.
 *
 * @throws ProtocolError `ERR_PROTOCOL`: invalid slice, unknown port, too many slices or addresses
 */
export function slicedAddresses(slices: readonly unknown[], rules: SliceRules): readonly string[] {
  const addresses = slices.slice(0, MAX_SLICES).flatMap((slice) => addressesOf(slice, rules));
  if (slices.length > MAX_SLICES || addresses.length > MAX_MEMBERS)
    throw new ProtocolError(
      `a Service has more than ${MAX_SLICES} EndpointSlices, or ${MAX_MEMBERS} addresses`,
    );
  return [...new Set(addresses)];
}

function addressesOf(slice: unknown, rules: SliceRules): readonly string[] {
  const name = nameOf(slice);
  const { addressType, ports, endpoints } = fieldsOf(slice);
  if (rules.family !== undefined && addressType !== `IPv${rules.family}`) return [];
  const running = itemsOf(endpoints).map(fieldsOf).filter(isRunning);
  // A Service without pods has no ports.
  if (running.length === 0) return [];
  const port = portOf(itemsOf(ports).map(fieldsOf), rules.port, name);
  return running.flatMap(({ addresses, hostname }) =>
    itemsOf(addresses).flatMap((address) => {
      if (typeof address !== "string") return [];
      const isIp = isIPv4(address) || isIPv6(address);
      if (rules.addressType === "dns" && isIp) return [`${hostOf(address, hostname, rules)}:${port}`];
      return [isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`];
    }),
  );
}

/** Unready pods count: nodes of a starting cluster need each other to become ready. */
function isRunning({ conditions }: Record<string, unknown>): boolean {
  return fieldsOf(conditions).terminating !== true;
}

/** Kubernetes DNS, "Records for a Headless Service": the pod's hostname, or its address with dashes. */
function hostOf(address: string, hostname: unknown, { service, namespace, suffix }: SliceRules): string {
  const label = typeof hostname === "string" && hostname !== "" ? hostname : address.replace(/[.:]/g, "-");
  return `${label}.${service}.${namespace}.svc.${suffix}`;
}

function portOf(
  ports: readonly Record<string, unknown>[],
  wanted: number | string | undefined,
  slice: string,
): number {
  if (typeof wanted === "number") return wanted;
  // A port with two protocols is listed twice.
  const named = ports.filter(({ name }) => (name ?? "") === (wanted ?? "shoal"));
  const numbers = new Set((named.length > 0 || wanted !== undefined ? named : ports).map(({ port }) => port));
  const [port] = numbers;
  if (numbers.size === 1 && Number.isSafeInteger(port)) return port as number;
  const known = ports.map(({ name, port: number }) => `${name === undefined ? "" : `${name} `}${number}`);
  throw new ProtocolError(
    `EndpointSlice ${slice}: ${wanted === undefined ? "choose a port" : `no port ${wanted}`}; it has ${known.join(", ").slice(0, 200) || "none"}`,
  );
}

function nameOf(slice: unknown): string {
  const { name } = fieldsOf(fieldsOf(slice).metadata);
  if (typeof name !== "string" || name === "") throw new ProtocolError("an EndpointSlice has no name");
  return name;
}
