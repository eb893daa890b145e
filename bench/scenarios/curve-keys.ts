/** CURVE keys without an engine: the runner hands them to sides in every language, as Z85 text (32/Z85). */
import { generateKeyPairSync } from "node:crypto";

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

/** Four bytes, big-endian, are five digits of base 85. */
function z85(bytes: Buffer): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 4) {
    let digits = "";
    for (let i = 0, value = bytes.readUInt32BE(at); i < 5; i++, value = Math.floor(value / 85)) {
      digits = ALPHABET.charAt(value % 85) + digits;
    }
    text += digits;
  }
  return text;
}

export function keyPair(): { readonly publicKey: string; readonly secretKey: string } {
  const { publicKey, privateKey } = generateKeyPairSync("x25519");
  const { x } = publicKey.export({ format: "jwk" });
  const { d } = privateKey.export({ format: "jwk" });
  return {
    publicKey: z85(Buffer.from(x as string, "base64url")),
    secretKey: z85(Buffer.from(d as string, "base64url")),
  };
}
