/** Keys and options for the tests of security; made once a file. */
import { curveKeyPair } from "../../../src/index.js";

export const server = curveKeyPair();
export const client = curveKeyPair();
/** Nobody whom the server knows. */
export const stranger = curveKeyPair();

export const CURVE_SERVER = { curveServer: true, curveSecretKey: server.secretKey };

export const curveClient = (keys = client, serverKey = server.publicKey) => ({
  curveServerKey: serverKey,
  curvePublicKey: keys.publicKey,
  curveSecretKey: keys.secretKey,
  reconnectInterval: 20,
});

export const plain = (plainUsername: string, plainPassword: string) => ({
  plainUsername,
  plainPassword,
  reconnectInterval: 20,
});
