/** No patterns; stands in for engine/zmtp/retiring.ts. */
export function retirementOf(): undefined {}
