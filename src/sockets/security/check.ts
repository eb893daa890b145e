/** Checks security options that depend on each other. */
import { InvalidArgumentError } from "../../core/errors.js";
import { curveFault, type SecurityFault } from "./curve-check.js";

/** @throws InvalidArgumentError `EINVAL` that names the missing option, never a key */
export function checkSecurity(options: Readonly<Record<string, unknown>>): void {
  const fault = securityFault(options);
  if (fault !== undefined) throw new InvalidArgumentError(fault.message);
}

export function securityFault(options: Readonly<Record<string, unknown>>): SecurityFault | undefined {
  const has = (name: string): boolean => options[name] !== null && options[name] !== undefined;
  const fault = (option: string, message: string): SecurityFault => ({ option, message });
  const curve = curveFault(has, options.curveServer === true);
  if (curve !== undefined) return curve;
  if (options.plainServer === true && has("plainUsername"))
    return fault(
      "plainUsername",
      "A socket is a PLAIN server or a client: plainServer and plainUsername exclude each other",
    );
  if (has("plainPassword") && !has("plainUsername"))
    return fault("plainPassword", "A PLAIN client needs plainUsername in addition to plainPassword");
  if (has("tlsCert") && !has("tlsKey")) return fault("tlsCert", "TLS needs tlsKey in addition to tlsCert");
  if (has("tlsKey") && !has("tlsCert")) return fault("tlsKey", "TLS needs tlsCert in addition to tlsKey");
  return undefined;
}
