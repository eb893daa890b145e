/** Security options that only make sense together, checked when an endpoint is bound or connected. */
import { InvalidArgumentError } from "../../core/errors.js";
import { tlsFault } from "../../core/tls-certificates.js";

/** What is wrong, and the option that asks for what is not there. */
export interface SecurityFault {
  readonly option: string;
  readonly message: string;
}

/** @throws InvalidArgumentError `EINVAL`, naming what is missing and never a key */
export function checkSecurity(options: Readonly<Record<string, unknown>>): void {
  const fault = securityFault(options);
  if (fault !== undefined) throw new InvalidArgumentError(fault.message);
}

/** The first fault; nothing where all belongs together. */
export function securityFault(options: Readonly<Record<string, unknown>>): SecurityFault | undefined {
  const has = (name: string): boolean => options[name] !== null && options[name] !== undefined;
  const fault = (option: string, message: string): SecurityFault => ({ option, message });
  if (options.curveServer === true) {
    if (!has("curveSecretKey")) return fault("curveServer", "A CURVE server needs the option curveSecretKey");
    if (has("curveServerKey"))
      return fault(
        "curveServerKey",
        "A socket is a CURVE server or a client: curveServer and curveServerKey exclude each other",
      );
  }
  if (has("curveServerKey") && !(has("curvePublicKey") && has("curveSecretKey")))
    return fault(
      "curveServerKey",
      "A CURVE client needs curvePublicKey and curveSecretKey in addition to curveServerKey; curveKeyPair() makes a pair",
    );
  if (options.plainServer === true && has("plainUsername"))
    return fault(
      "plainUsername",
      "A socket is a PLAIN server or a client: plainServer and plainUsername exclude each other",
    );
  if (has("plainPassword") && !has("plainUsername"))
    return fault("plainPassword", "A PLAIN client needs plainUsername in addition to plainPassword");
  return tlsFault(has);
}
