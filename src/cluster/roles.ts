/**
 * Roles that some members of a cluster hold, such as the primary and the backup of a pair, and who takes one that is vacant. Pure.
 *
 *   spare ──a role is vacant, and this one is among the first of the spares──> claims it ──nobody older has it──> holds it
 *     ^                                                                         │                                   │
 *     └──────────────────────────── somebody older has it, too ─────────────────┴───────────────────────────────────┘
 *
 * A tag says it: NAME/spare, NAME/ROLE. The older of two is the one that was started first, by the clock of its host, then the one
 * of the lower id. This is no consensus: two sides of a cut each have their holders, and one of two gives way when they meet.
 */

/** What the rules look at of a live member. */
export interface RoleMember {
  readonly id: string;
  readonly tags: readonly string[];
  readonly incarnation: { readonly start: number };
  readonly isDraining: boolean;
}

/** The tag of a role, or with "spare" of those that would take one. */
export function roleTag(name: string, role: string): string {
  return `${name}/${role}`;
}

/**
 * The role that a spare is to take: the vacant ones go to the spares by age.
 *
 * @returns `undefined`: none, or the member is no spare
 */
export function vacancyFor<Role extends string>(
  id: string,
  members: readonly RoleMember[],
  name: string,
  roles: readonly Role[],
): Role | undefined {
  // One that drains holds its role until it has left.
  const vacant = roles.filter((role) => !members.some(({ tags }) => tags.includes(roleTag(name, role))));
  const spares = members
    .filter(({ tags, isDraining }) => tags.includes(roleTag(name, "spare")) && !isDraining)
    .sort(byAge);
  const at = spares.findIndex((member) => member.id === id);
  return at < 0 ? undefined : vacant[at];
}

/** Whether an older member has the same role. */
export function isOutranked(id: string, members: readonly RoleMember[], tag: string): boolean {
  const [first] = members.filter(({ tags }) => tags.includes(tag)).sort(byAge);
  return first !== undefined && first.id !== id;
}

function byAge(one: RoleMember, other: RoleMember): number {
  return one.incarnation.start - other.incarnation.start || (one.id < other.id ? -1 : 1);
}
