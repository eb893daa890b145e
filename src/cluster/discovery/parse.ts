/**
 * Sources as text, for the command line and configuration files:
 *
 *   static:HOST:PORT,HOST:PORT…          dns://NAME:PORT (A)   dns://NAME (SRV)
 *   broadcast:                           multicast:GROUP
 *   etcd://HOST:PORT,HOST:PORT/PREFIX    etcds://… over TLS    kubernetes://NAMESPACE/SERVICE[:PORT]
 *
 * Options follow as `?NAME=VALUE&NAME=VALUE`, named as in the source's options.
 */
import { checkKeys, describe } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { suggest } from "../../core/suggestions.js";
import { broadcastSource, multicastSource } from "./beacon.js";
import { dnsSource } from "./dns.js";
import { etcdSource } from "./etcd.js";
import { kubernetesSource } from "./kubernetes.js";
import { staticSource } from "./lists.js";
import type { DiscoverySource } from "./source.js";

const MAX_DISCOVERY_TEXT = 4_096;

type Kind = "number" | "numbers" | "text" | "texts" | "boolean";

interface Form {
  readonly form: string;
  readonly slashes: boolean;
  readonly options: Readonly<Record<string, Kind>>;
  /** @param rest text between the scheme and the options */
  make(rest: string, options: Record<string, unknown>): DiscoverySource;
}

/** The port is `undefined` without a number after the last colon. */
function nameAndPort(rest: string): { name: string; port: number | undefined } {
  const at = rest.lastIndexOf(":");
  const port = /^\d{1,5}$/.test(rest.slice(at + 1)) ? Number(rest.slice(at + 1)) : undefined;
  return at < 0 || port === undefined ? { name: rest, port: undefined } : { name: rest.slice(0, at), port };
}

function nothing(form: string, rest: string, options: Record<string, unknown>): Record<string, unknown> {
  if (rest !== "") throw new InvalidArgumentError(`expected ${form}?OPTION=VALUE; got ${describe(rest)}`);
  return options;
}

const etcd = (scheme: "http" | "https"): Form => ({
  form: `${scheme === "http" ? "etcd" : "etcds"}://HOST:PORT,…/PREFIX`,
  slashes: true,
  options: { ttl: "number", publish: "boolean", timeout: "number", relistInterval: "number" },
  make(rest, options) {
    if (rest.includes("@"))
      throw new InvalidArgumentError(
        "a discovery URL must not contain a user and password: every process of the host could read them",
      );
    const slash = rest.indexOf("/");
    const hosts = slash < 0 ? rest : rest.slice(0, slash);
    const prefix = slash < 0 ? "" : rest.slice(slash + 1);
    return etcdSource({
      servers: hosts.split(",").map((host) => `${scheme}://${host}`),
      ...(prefix === "" ? {} : { prefix }),
      ...options,
    });
  },
});

const FORMS: Readonly<Record<string, Form>> = {
  static: {
    form: "static:HOST:PORT,…",
    slashes: false,
    options: {},
    make: (rest) => staticSource(rest.split(",")),
  },
  dns: {
    form: "dns://NAME[:PORT]",
    slashes: true,
    options: {
      type: "text",
      servers: "texts",
      timeout: "number",
      minInterval: "number",
      maxInterval: "number",
    },
    make(rest, options) {
      const { name, port } = nameAndPort(rest);
      return dnsSource(name, { port, ...options });
    },
  },
  broadcast: {
    form: "broadcast:",
    slashes: false,
    options: { port: "number", interval: "number", interface: "text" },
    make: (rest, options) => broadcastSource(nothing("broadcast:", rest, options)),
  },
  multicast: {
    form: "multicast:[GROUP]",
    slashes: false,
    options: {
      ports: "numbers",
      ttl: "number",
      loop: "boolean",
      interval: "number",
      interface: "text",
    },
    make: (rest, options) => multicastSource({ ...(rest === "" ? {} : { group: rest }), ...options }),
  },
  etcd: etcd("http"),
  etcds: etcd("https"),
  kubernetes: {
    form: "kubernetes://NAMESPACE/SERVICE[:PORT]",
    slashes: true,
    options: {
      addressType: "text",
      suffix: "text",
      family: "number",
      server: "text",
      timeout: "number",
      relistInterval: "number",
    },
    make(rest, options) {
      const [namespace = "", service = "", ...others] = rest.split("/");
      if (namespace === "" || service === "" || others.length > 0)
        throw new InvalidArgumentError(`expected kubernetes://NAMESPACE/SERVICE; got ${describe(rest)}`);
      const [name = "", port] = service.split(":");
      return kubernetesSource({
        namespace,
        service: name,
        ...(port === undefined ? {} : { port: /^\d+$/.test(port) ? Number(port) : port }),
        ...options,
      });
    },
  },
};

const DISCOVERY_FORMS: readonly string[] = Object.values(FORMS).map(({ form }) => form);

/**
 * Parses a source, such as "dns://billing.example:7946?type=AAAA" or "static:10.0.0.5:7946,db.example:7946".
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown scheme or option, and as the source itself
 */
export function parseDiscovery(text: string): DiscoverySource {
  if (typeof text !== "string" || text.length > MAX_DISCOVERY_TEXT)
    throw new InvalidArgumentError(
      `a discovery source must be a text of at most ${MAX_DISCOVERY_TEXT} characters; got ${describe(text)}`,
    );
  const colon = text.indexOf(":");
  const scheme = colon < 0 ? text : text.slice(0, colon);
  const form = Object.hasOwn(FORMS, scheme) ? FORMS[scheme] : undefined;
  if (form === undefined || colon < 0)
    throw new InvalidArgumentError(
      `a discovery source must be one of ${DISCOVERY_FORMS.join(", ")}; got ${describe(text)}${form === undefined ? suggest(scheme, Object.keys(FORMS)) : ""}`,
    );
  const question = text.indexOf("?");
  let rest = text.slice(colon + 1, question < 0 ? undefined : question);
  if (form.slashes !== rest.startsWith("//"))
    throw new InvalidArgumentError(`expected ${form.form}; got ${describe(text)}`);
  if (form.slashes) rest = rest.slice(2);
  return form.make(rest, optionsOf(scheme, form, question < 0 ? "" : text.slice(question + 1)));
}

function optionsOf(scheme: string, { options: kinds }: Form, query: string): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  const given = new URLSearchParams(query);
  const names = [...new Set(given.keys())];
  checkKeys(`the source ${scheme}`, Object.fromEntries(names.map((name) => [name, ""])), Object.keys(kinds));
  for (const name of names) {
    const values = given.getAll(name);
    const each = values.flatMap((value) => value.split(","));
    if (kinds[name] === "texts") options[name] = each;
    else if (kinds[name] === "numbers")
      options[name] = each.map((value) => parsedValue(name, "number", value));
    else if (values.length > 1) throw new InvalidArgumentError(`the source ${scheme} has ${name} twice`);
    else options[name] = parsedValue(name, kinds[name], values[0] as string);
  }
  return options;
}

function parsedValue(name: string, kind: Kind | undefined, value: string): unknown {
  if (kind === "number") {
    if (!/^\d{1,15}$/.test(value))
      throw new InvalidArgumentError(`${name} must be a whole number; got ${describe(value)}`);
    return Number(value);
  }
  if (kind === "boolean") {
    if (value !== "true" && value !== "false")
      throw new InvalidArgumentError(`${name} must be true or false; got ${describe(value)}`);
    return value === "true";
  }
  return value;
}
