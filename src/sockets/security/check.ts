/** Security options that only make sense together, checked when an endpoint is bound or connected. */
import { InvalidArgumentError } from "../../core/errors.js";

/** @throws InvalidArgumentError `EINVAL`, naming what is missing and never a key */
export function checkSecurity(options: Readonly<Record<string, unknown>>): void {
  const has = (name: string): boolean => options[name] !== null && options[name] !== undefined;
  if (options.curveServer === true) {
    if (!has("curveSecretKey"))
      throw new InvalidArgumentError("A CURVE server needs the option curveSecretKey");
    if (has("curveServerKey"))
      throw new InvalidArgumentError(
        "A socket is a CURVE server or a client: curveServer and curveServerKey exclude each other",
      );
  }
  if (has("curveServerKey") && !(has("curvePublicKey") && has("curveSecretKey"))) {
    throw new InvalidArgumentError(
      "A CURVE client needs curvePublicKey and curveSecretKey beside curveServerKey; curveKeyPair() makes a pair",
    );
  }
  if (options.plainServer === true && has("plainUsername")) {
    throw new InvalidArgumentError(
      "A socket is a PLAIN server or a client: plainServer and plainUsername exclude each other",
    );
  }
  if (has("plainPassword") && !has("plainUsername")) {
    throw new InvalidArgumentError("A PLAIN client needs plainUsername beside plainPassword");
  }
}
