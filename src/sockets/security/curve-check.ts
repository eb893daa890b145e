/** Checks CURVE options that depend on each other. */

export interface SecurityFault {
  readonly option: string;
  readonly message: string;
}

/** @param has whether an option is set @param isServer `curveServer` @returns the first fault */
export function curveFault(has: (option: string) => boolean, isServer: boolean): SecurityFault | undefined {
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
