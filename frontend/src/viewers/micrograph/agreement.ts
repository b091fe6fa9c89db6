/** How many picks of one list have a neighbour in another. */

type Place = Readonly<{ x: number; y: number }>;

/** Count picks that lie within a distance of one of the others; cells make it fast. */
export function agreement(
  picks: readonly Place[],
  others: readonly Place[],
  within: number,
): number {
  if (within <= 0 || others.length === 0) return 0;
  const cells = new Map<string, Place[]>();
  const cell = (value: number): number => Math.floor(value / within);
  for (const one of others) {
    const key = `${cell(one.x)} ${cell(one.y)}`;
    const held = cells.get(key);
    if (held) held.push(one);
    else cells.set(key, [one]);
  }
  let n = 0;
  for (const pick of picks) if (hasNeighbour(pick)) n += 1;
  return n;

  function hasNeighbour(pick: Place): boolean {
    for (let dy = -1; dy <= 1; dy += 1) {
      for (let dx = -1; dx <= 1; dx += 1) {
        const held = cells.get(`${cell(pick.x) + dx} ${cell(pick.y) + dy}`) ?? [];
        if (held.some((one) => Math.hypot(one.x - pick.x, one.y - pick.y) <= within)) return true;
      }
    }
    return false;
  }
}
