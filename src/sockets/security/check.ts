/** Checks security options that depend on each other. */
import { InvalidArgumentError } from "../../core/errors.js";

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

interface SecurityFault {
  readonly option: string;
  readonly message: string;
}

/** @param has whether an option is set @param isServer `curveServer` @returns the first fault */
function curveFault(has: (option: string) => boolean, isServer: boolean): SecurityFault | undefined {
  if (isServer) {
    if (!has("curveSecretKey"))
      return { option: "curveServer", message: "A CURVE server needs the option curveSecretKey" };
    if (has("curveServerKey"))
      return {
        option: "curveServerKey",
        message: "A socket is a CURVE server or a client: curveServer and curveServerKey exclude each other",
      };
  }
  if (has("curveServerKey") && !(has("curvePublicKey") && has("curveSecretKey")))
    return {
      option: "curveServerKey",
      message:
        "A CURVE client needs curvePublicKey and curveSecretKey in addition to curveServerKey; curveKeyPair() makes a pair",
    };
  return undefined;
}
