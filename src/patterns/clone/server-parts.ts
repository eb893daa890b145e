/** What the roles of a server, serving and standing by, share. */
import type { InHand } from "./in-hand.js";
import type { ServerAccounts } from "./server-accounts.js";
import type { ServerMap } from "./server-map.js";
import type { ServerOutbox, ServerRulesOptions } from "./server-outbox.js";
import type { ServerStanding } from "./server-standing.js";

/** What a server has, whether it serves or stands by. */
export interface ServerParts {
  readonly options: ServerRulesOptions;
  readonly outbox: ServerOutbox;
  readonly map: ServerMap;
  readonly inHand: InHand;
  readonly accounts: ServerAccounts;
  readonly standing: ServerStanding;
}
