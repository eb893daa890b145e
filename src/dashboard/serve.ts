/** The dashboard of a program: the public function. What it needs is loaded when it is called. */
import type { DashboardOptions, DashboardServer, DashboardSources } from "./options.js";

/**
 * Serves a page with what runs in the program: sockets, drivers, proxies, cluster nodes, who is connected to whom, rates,
 * queues and drops, live. The page needs nothing from elsewhere. Counters are read only while somebody looks.
 *
 *   const dashboard = await serveDashboard("127.0.0.1:9465", { orders: broker, feed: publisher });
 *
 * Everybody who reaches the address can look: give one of this machine, or put what authenticates in front.
 *
 * @param address HOST:PORT; without a host, as `:9465`, 127.0.0.1; `*:9465` is every address of the machine, port 0 one that
 *   is free
 * @throws InvalidArgumentError `EINVAL` for an address that is not HOST:PORT, an unknown option or a bad value, and for what is
 *   not a socket, a driver or a source
 * @throws TransportError `EADDRINUSE`, `EACCES`, `EADDRNOTAVAIL` and others, with the address as endpoint
 */
export async function serveDashboard(
  address: string,
  sources: DashboardSources,
  options: DashboardOptions = {},
): Promise<DashboardServer> {
  const [{ startDashboard }, { LocalSubject }] = await Promise.all([
    import("./server.js"),
    import("./local.js"),
  ]);
  return startDashboard(address, [new LocalSubject(sources)], options);
}
