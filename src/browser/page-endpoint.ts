/**
 * The endpoint of a path on the page's server, with an explicit port: `wss://` for a page from https, else `ws://`.
 *
 * @param path begins with `/`, such as `/prices`
 */
export function pageEndpoint(path: string): string {
  const { protocol, hostname, port } = (
    globalThis as unknown as { location: { protocol: string; hostname: string; port: string } }
  ).location;
  const isSecure = protocol === "https:";
  return `${isSecure ? "wss" : "ws"}://${hostname}:${port === "" ? (isSecure ? 443 : 80) : port}${path}`;
}
