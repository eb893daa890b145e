import { quoted } from "../../core/arguments.js";
import { InvalidArgumentError } from "../../core/errors.js";
import { fullName, isId } from "../identity.js";
import type { Member } from "../membership/members.js";
import type { Membership } from "../membership/membership.js";

/**
 * Finds a member, this node, or a gone member. A name without host means a node on this host, else the only live member
 * of that name.
 *
 * @param host this node's
 * @throws InvalidArgumentError `EINVAL` unless it is a text, and for the name of several live members
 */
export function findMember(rules: Membership, nameOrId: string, host: string): Member | undefined {
  if (typeof nameOrId !== "string")
    throw new InvalidArgumentError(`a member is named by a text; got ${typeof nameOrId}`);
  if (isId(nameOrId)) return rules.get(nameOrId);
  const all = [...rules.live, ...rules.dead, rules.self as Member];
  if (nameOrId.includes("@")) return rules.named(nameOrId) ?? all.find((member) => member.name === nameOrId);
  const local = rules.named(fullName(nameOrId, host));
  if (local !== undefined) return local;
  const fits = (member: Member): boolean => member.name.startsWith(`${nameOrId}@`);
  const live = all.filter((member) => member.isLive && !member.yields && fits(member));
  if (live.length > 1)
    throw new InvalidArgumentError(
      `${live.length} members are called ${quoted(nameOrId)}: give the host, too (name@host)`,
    );
  return live[0] ?? all.find(fits);
}
