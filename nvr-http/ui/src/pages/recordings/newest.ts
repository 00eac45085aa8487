import type { Segment, Segments } from "~/api/types";

interface Source {
  camera: string;
  waiting: Segment[];
  next: string | null;
  begun: boolean;
}

/** Segments of several cameras as one list, newest first. Each camera is asked a page at a time, and only when its turn comes. */
export class NewestFirst {
  private sources: Source[];

  constructor(
    cameras: string[],
    private load: (camera: string, cursor: string | null) => Promise<Segments>,
  ) {
    this.sources = cameras.map((camera) => ({ camera, waiting: [], next: null, begun: false }));
  }

  /** Whether nothing is left. */
  get done(): boolean {
    return this.sources.every((s) => s.begun && !s.waiting.length && s.next === null);
  }

  private async fill(source: Source): Promise<void> {
    // A page may be empty and still have a next one.
    while (!source.waiting.length && (!source.begun || source.next !== null)) {
      const page = await this.load(source.camera, source.next);
      source.waiting = page.segments;
      source.next = page.next;
      source.begun = true;
    }
  }

  /** The next `wanted` that `keep` accepts; fewer when nothing is left, or `most` were looked at. */
  async page(wanted: number, keep: (s: Segment) => boolean, most = 5000): Promise<Segment[]> {
    const found: Segment[] = [];
    for (let seen = 0; seen < most && found.length < wanted; seen++) {
      await Promise.all(this.sources.map((s) => this.fill(s)));
      let newest: Source | null = null;
      for (const source of this.sources) {
        const head = source.waiting[0];
        if (head && (!newest || Date.parse(head.start) > Date.parse(newest.waiting[0]?.start ?? ""))) newest = source;
      }
      const segment = newest?.waiting.shift();
      if (!segment) break;
      if (keep(segment)) found.push(segment);
    }
    return found;
  }
}
