// Deleting that can be undone: nothing is sent before the time for that is over.

export interface Removal {
  /** Shows the things again; nothing was sent. */
  undo(): void;
  /** Sends. What the recorder refuses is shown again, and told. */
  commit(): Promise<void>;
}

export function removal<T>(things: T[], { hide, show, send, refused, sent }: { hide(all: T[]): void; show(all: T[]): void; send(one: T): Promise<unknown>; refused(all: { thing: T; error: unknown }[]): void; sent?(all: T[]): void }): Removal {
  let over = false;
  hide(things);
  return {
    undo() {
      if (over) return;
      over = true;
      show(things);
    },
    async commit() {
      if (over) return;
      over = true;
      const bad: { thing: T; error: unknown }[] = [];
      const good: T[] = [];
      // A few at once: the recorder has other things to do. All are begun in this turn when they are few, so that
      // they are on their way even when the page is being left.
      const queue = [...things];
      const worker = async () => {
        for (let thing = queue.shift(); thing !== undefined; thing = queue.shift()) {
          const now = thing;
          await send(now).then(
            () => good.push(now),
            (error: unknown) => bad.push({ thing: now, error }),
          );
        }
      };
      await Promise.all(Array.from({ length: Math.min(6, things.length) }, worker));
      if (good.length) sent?.(good);
      if (!bad.length) return;
      show(bad.map((b) => b.thing));
      refused(bad);
    },
  };
}
