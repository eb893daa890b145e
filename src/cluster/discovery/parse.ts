/**
 * Sources as text, for the command line and configuration files:
 *
 *   static:HOST:PORT,HOST:PORT…          dns://NAME:PORT (A)   dns://NAME (SRV)
 *   broadcast:                           multicast:GROUP
 *   etcd://HOST:PORT,HOST:PORT/PREFIX    etcds://… over TLS    kubernetes://NAMESPACE/SERVICE[:PORT]
 *
 * Options follow as `?NAME=VALUE&NAME=VALUE`, named as in the source's options.
 */
import { checkKeys, describe, invalidArgument, suggest } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { broadcastSource, multicastSource } from "./beacon.js";
import { dnsSource } from "./dns.js";
import { etcdSource } from "./etcd.js";
import { kubernetesSource } from "./kubernetes.js";
import { type DiscoverySource, staticSource } from "./source.js";

const MAX_DISCOVERY_TEXT = 4_096;

interface Form {
  readonly form: string;
  readonly slashes: boolean;
  /** Names of options, apart from secrets. */
  readonly options: readonly string[];
  /** @param rest text between the scheme and the options */
  make(rest: string, options: Record<string, unknown>): DiscoverySource;
}

/** The port is `undefined` without a number after the last colon. */
function nameAndPort(rest: string): { name: string; port: number | undefined } {
  const at = rest.lastIndexOf(":");
  const port = /^\d{1,5}$/.test(rest.slice(at + 1)) ? Number(rest.slice(at + 1)) : undefined;
  return at < 0 || port === undefined ? { name: rest, port: undefined } : { name: rest.slice(0, at), port };
}

const etcd = (scheme: "http" | "https"): Form => ({
  form: `${scheme === "http" ? "etcd" : "etcds"}://HOST:PORT,…/PREFIX`,
  slashes: true,
  options: ["ttl", "publish", "timeout", "relistInterval"],
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
    options: [],
    make: (rest) => staticSource(rest.split(",")),
  },
  dns: {
    form: "dns://NAME[:PORT]",
    slashes: true,
    options: ["type", "servers", "timeout", "minInterval", "maxInterval"],
    make(rest, options) {
      const { name, port } = nameAndPort(rest);
      return dnsSource(name, { port, ...options });
    },
  },
  broadcast: {
    form: "broadcast:",
    slashes: false,
    options: ["port", "interval", "interface"],
    make(rest, options) {
      if (rest !== "") throw invalidArgument("expected broadcast:?OPTION=VALUE", rest);
      return broadcastSource(options);
    },
  },
  multicast: {
    form: "multicast:[GROUP]",
    slashes: false,
    options: ["ports", "ttl", "loop", "interval", "interface"],
    make: (rest, options) => multicastSource({ ...(rest === "" ? {} : { group: rest }), ...options }),
  },
  etcd: etcd("http"),
  etcds: etcd("https"),
  kubernetes: {
    form: "kubernetes://NAMESPACE/SERVICE[:PORT]",
    slashes: true,
    options: ["addressType", "suffix", "family", "server", "timeout", "relistInterval"],
    make(rest, options) {
      const [, namespace, service = "", port] = /^([^/]+)\/([^/:]+)(?::([^/:]+))?$/.exec(rest) ?? [];
      if (namespace === undefined)
        throw invalidArgument("expected kubernetes://NAMESPACE/SERVICE[:PORT]", rest);
      return kubernetesSource({
        namespace,
        service,
        ...(port === undefined ? {} : { port: /^\d+$/.test(port) ? Number(port) : port }),
        ...options,
      });
    },
  },
};

/**
 * Parses a source, such as "dns://billing.example:7946?type=AAAA" or "static:10.0.0.5:7946,db.example:7946".
 *
 * @throws InvalidArgumentError `EINVAL` for an unknown scheme or option, and as the source itself
 */
export function parseDiscovery(text: string): DiscoverySource {
  if (typeof text !== "string" || text.length > MAX_DISCOVERY_TEXT)
    throw invalidArgument(
      `a discovery source must be a text of at most ${MAX_DISCOVERY_TEXT} characters`,
      text,
    );
  const colon = text.indexOf(":");
  const scheme = colon < 0 ? text : text.slice(0, colon);
  const form = Object.hasOwn(FORMS, scheme) ? FORMS[scheme] : undefined;
  if (form === undefined || colon < 0)
    throw new InvalidArgumentError(
      `a discovery source must be one of ${Object.values(FORMS)
        .map((each) => each.form)
        .join(", ")}; got ${describe(text)}${form === undefined ? suggest(scheme, Object.keys(FORMS)) : ""}`,
    );
  const question = text.indexOf("?");
  let rest = text.slice(colon + 1, question < 0 ? undefined : question);
  if (form.slashes !== rest.startsWith("//")) throw invalidArgument(`expected ${form.form}`, text);
  if (form.slashes) rest = rest.slice(2);
  return form.make(rest, optionsOf(scheme, form, question < 0 ? "" : text.slice(question + 1)));
}

function optionsOf(scheme: string, { options: known }: Form, query: string): Record<string, unknown> {
  const given = new URLSearchParams(query);
  const names = [...new Set(given.keys())];
  checkKeys(`the source ${scheme}`, Object.fromEntries(names.map((name) => [name, ""])), known);
  return Object.fromEntries(
    names.map((name) => {
      const values = given.getAll(name);
      if (name === "servers" || name === "ports")
        return [name, values.flatMap((each) => each.split(",")).map(typedValue)];
      if (values.length > 1) throw new InvalidArgumentError(`the source ${scheme} has ${name} twice`);
      return [name, typedValue(values[0] as string)];
    }),
  );
}

/** The source checks its type. */
function typedValue(text: string): string | number | boolean {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  return text === "true" || text === "false" ? text === "true" : text;
}
