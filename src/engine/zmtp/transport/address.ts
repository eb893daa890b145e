import { isIP } from "node:net";
import { type NetworkInterfaceInfo, type NetworkInterfaceInfoIPv6, networkInterfaces } from "node:os";
import { quoted } from "../../../core/arguments.js";
import { TransportError } from "../../../core/errors.js";

/**
 * @param host `*`, an address, or an interface's name
 * @throws TransportError `ENODEV` for an unknown interface
 */
export function bindAddress(host: string, ipv6: boolean, endpoint: string): string {
  if (host === "*") return ipv6 ? "::" : "0.0.0.0";
  if (isIP(host) !== 0 || host === "localhost")
    return host === "localhost" ? (ipv6 ? "::1" : "127.0.0.1") : host;
  const addresses = networkInterfaces()[host];
  const family = ipv6 ? "IPv6" : "IPv4";
  const own = addresses?.filter((each) => each.family === family);
  // A link-local address needs its interface (RFC 4007).
  const wanted = own?.find((each) => !isOfLink(each)) ?? own?.[0] ?? addresses?.[0];
  if (wanted === undefined) {
    throw new TransportError("ENODEV", `Cannot bind ${endpoint}: there is no interface ${quoted(host)}`, {
      endpoint,
    });
  }
  if (!isOfLink(wanted)) return wanted.address;
  return `${wanted.address}%${process.platform === "win32" ? wanted.scopeid : host}`;
}

function isOfLink(info: NetworkInterfaceInfo): info is NetworkInterfaceInfoIPv6 {
  return info.family === "IPv6" && info.scopeid > 0;
}
