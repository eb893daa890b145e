/** Nodes that can serve a request, and their distances. */
import { LatestMap } from "../bounds.js";
import type { RouteDriver } from "../messaging/route-driver.js";
import type { Candidate } from "../requests/balancer.js";
import { MAX_CALLED_SERVICES } from "../requests/bounds.js";
import { serviceRoute } from "../requests/route.js";
import { hostOf } from "../resolver.js";
import type { NamespaceRuntime } from "./namespace-runtime.js";

/** Nodes with equal values of this prop are near each other. */
const ZONE = "zone";

const Distance = { SAME_HOST: 1, SAME_ZONE: 2, ELSEWHERE: 3 } as const;

interface Found {
  readonly routes: number;
  readonly members: number;
  readonly candidates: readonly Candidate[];
}

export class ServiceCandidates {
  readonly #runtime: NamespaceRuntime;
  readonly #routes: RouteDriver;
  readonly #found = new LatestMap<string, Found>(MAX_CALLED_SERVICES);
  #members = 0;

  constructor(runtime: NamespaceRuntime, routes: RouteDriver) {
    this.#runtime = runtime;
    this.#routes = routes;
  }

  membersChanged(): void {
    this.#members += 1;
  }

  /** Other nodes with a service; the same array until routes or members change. */
  of(service: string): readonly Candidate[] {
    const routes = this.#routes;
    const known = this.#found.get(service);
    if (known !== undefined && known.routes === routes.version && known.members === this.#members)
      return known.candidates;
    const ids: string[] = [];
    routes.table.match(serviceRoute(service), ids);
    const candidates = ids.flatMap((id) => this.#candidateOf(id) ?? []);
    this.#found.set(service, { routes: routes.version, members: this.#members, candidates });
    return candidates;
  }

  #candidateOf(id: string): Candidate | undefined {
    const rules = this.#runtime.membership;
    const member = rules?.get(id);
    if (rules === undefined || member?.isLive !== true || member.draining) return undefined;
    const { self } = rules;
    if (member === self) return undefined;
    if (hostOf(member.name) === hostOf(self.name)) return { id, distance: Distance.SAME_HOST };
    const zone = self.details.props[ZONE];
    const isSame = zone !== undefined && zone === member.details.props[ZONE];
    return { id, distance: isSame ? Distance.SAME_ZONE : Distance.ELSEWHERE };
  }
}
