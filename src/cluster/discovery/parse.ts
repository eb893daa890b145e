/**
 * Sources as text, for the command line and configuration files:
 *
 *   static:HOST:PORT,HOST:PORT…          dns://NAME:PORT
 *   broadcast:                           kubernetes://NAMESPACE/SERVICE[:PORT]
 *   etcd://HOST:PORT,HOST:PORT/PREFIX    etcds://… over TLS
 *
 * Options follow as `?NAME=VALUE&NAME=VALUE`, named as in the source's options.
 */
import { checkKeys, describe, invalidArgument, suggest } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { broadcastSource } from "./beacon.js";
import { etcdSource } from "./etcd.js";
import { kubernetesSource } from "./kubernetes.js";
import { type DiscoverySource, dnsSource, staticSource } from "./source.js";

const MAX_DISCOVERY_TEXT = 4_096;

interface Form {
  readonly form: string;
  readonly slashes: boolean;
  /** Names of options, apart from secrets. */
  readonly options: readonly string[];
  /** @param rest text between the scheme and the options */
  make(rest: string, options: Record<string, unknown>): DiscoverySource;
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
    const [hosts = "", ...prefix] = rest.split("/");
    return etcdSource({
      servers: hosts.split(",").map((host) => `${scheme}://${host}`),
      prefix: prefix.join("/") || undefined,
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
    form: "dns://NAME:PORT",
    slashes: true,
    options: [],
    make(rest) {
      const [, name = "", port] = /^(.*):(\d{1,5})$/s.exec(rest) ?? [];
      if (port === undefined) throw invalidArgument("expected dns://NAME:PORT", rest);
      return dnsSource(name, { port: Number(port) });
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
      const chosen = port !== undefined && /^\d+$/.test(port) ? Number(port) : port;
      return kubernetesSource({ namespace, service, port: chosen, ...options });
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
  const [, scheme = text, slashes = "", rest, query = ""] =
    /^([^:]*):(\/\/)?([^?]*)\??(.*)$/s.exec(text) ?? [];
  const form = Object.hasOwn(FORMS, scheme) ? FORMS[scheme] : undefined;
  if (form === undefined || rest === undefined) {
    const forms = Object.values(FORMS).map((each) => each.form);
    const hint = form === undefined ? suggest(scheme, Object.keys(FORMS)) : "";
    throw new InvalidArgumentError(
      `a discovery source must be one of ${forms.join(", ")}; got ${describe(text)}${hint}`,
    );
  }
  if (form.slashes !== (slashes !== "")) throw invalidArgument(`expected ${form.form}`, text);
  return form.make(rest, optionsOf(scheme, form, query));
}

function optionsOf(scheme: string, { options: known }: Form, query: string): Record<string, unknown> {
  const given = new URLSearchParams(query);
  const names = [...new Set(given.keys())];
  checkKeys(`the source ${scheme}`, Object.fromEntries(names.map((name) => [name, ""])), known);
  return Object.fromEntries(
    names.map((name) => {
      const values = given.getAll(name);
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
