/** From --plain and --curve-… to the options of a socket. */
import { type Authenticate, type CommonOptions, curveKeyPair, readCertificate } from "../index.js";
import { plainUsers } from "../sockets/security/plain-users.js";
import { describe, Failure } from "./failure.js";
import type { SecuritySettings } from "./options.js";

/** What a socket is constructed with. */
export type SecurityOptions = Pick<
  CommonOptions,
  | "plainServer"
  | "plainUsername"
  | "plainPassword"
  | "curveServer"
  | "curvePublicKey"
  | "curveSecretKey"
  | "curveServerKey"
> & { readonly authenticate?: Authenticate };

/** @throws Failure for a certificate that cannot be read or has no secret key */
export async function securityOptions(settings: SecuritySettings): Promise<SecurityOptions> {
  const { plain, curveServerKey, curveCertificate } = settings;
  if (plain !== undefined) {
    return settings.bind.length > 0
      ? { plainServer: true, authenticate: plainUsers({ [plain.username]: plain.password }) }
      : { plainUsername: plain.username, plainPassword: plain.password };
  }
  const keys = curveCertificate === undefined ? undefined : await keysFrom(curveCertificate);
  if (curveServerKey !== undefined) {
    const own = keys ?? curveKeyPair();
    return { curveServerKey, curvePublicKey: own.publicKey, curveSecretKey: own.secretKey };
  }
  if (keys === undefined) return {};
  return { curveServer: true, curvePublicKey: keys.publicKey, curveSecretKey: keys.secretKey };
}

async function keysFrom(file: string): Promise<{ publicKey: string; secretKey: string }> {
  let certificate: Awaited<ReturnType<typeof readCertificate>>;
  try {
    certificate = await readCertificate(file);
  } catch (error) {
    throw new Failure(`cannot read the certificate ${file}: ${describe(error)}`);
  }
  const { publicKey, secretKey } = certificate;
  if (secretKey === undefined) {
    throw new Failure(`the certificate ${file} has no secret key; expected the secret file of the pair`);
  }
  return { publicKey, secretKey };
}
