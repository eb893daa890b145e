import type { Expanded } from "../../config/environment.js";
import type { Finding } from "../../config/problem.js";
import { SchemaChecker } from "../../config/validate.js";
import { NAME_RULE, UNFIT } from "../options.js";
import { configurationSchema } from "./schema.js";

export const NO_ENDPOINT = "needs an endpoint: bind, connect or both";

const ELSEWHERE: Readonly<Record<string, string | undefined>> = {
  ...UNFIT,
  plainServer: "a side with plainUsers is the server",
  authenticate: "plainUsers, curveCertificate and policy decide who may come in",
};

const checker = new SchemaChecker(configurationSchema, {
  anyOf: NO_ENDPOINT,
  pattern: "a CURVE key, 40 characters of Z85",
  key: NAME_RULE,
  elsewhere: (path, key) => (path.length >= 3 ? ELSEWHERE[key] : undefined),
});

export function validate(expanded: Expanded): readonly Finding[] {
  return checker.check(expanded);
}
