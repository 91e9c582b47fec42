/** Batches made ahead of their use, in order. */

/** How many batches are being made at once: one that is needed next, and one behind it. */
const AHEAD = 2;

/** Items `from` … `to` - 1 of `load`, started `AHEAD` of being asked for. A failure is thrown where its item is asked for. */
export function prefetch<T>(load: (index: number) => Promise<T>, from: number, to: number): { next(): Promise<T> } {
  const started: Promise<T>[] = [];
  let index = from;
  const fill = (): void => {
    while (index < to && started.length < AHEAD) {
      const item = load(index++);
      item.catch(() => {}); // thrown where it is awaited
      started.push(item);
    }
  };
  fill();
  return {
    async next() {
      const item = started.shift();
      if (!item) throw new Error("there is no further batch: this is a bug in edgefit, please report it");
      const value = await item;
      fill();
      return value;
    },
  };
}
