/** In a page a misspelt name is refused without the one that was meant; stands in for core/suggestions.ts. */

export function nearest(): undefined {}

export function suggest(): string {
  return "";
}
