/** Endpoints of the server that a page came from. */

/**
 * The endpoint of a path of the page's own server: `wss://` where the page came over https, else `ws://`, with the port that a
 * page's address leaves out.
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
