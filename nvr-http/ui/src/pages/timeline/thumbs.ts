import { request } from "~/api/client";

const KEPT = 150;

/** Small pictures of moments; of those asked for in haste only the last is fetched, and none is shown after a later one. */
export class Thumbs {
  private kept = new Map<string, Promise<string | null>>();
  private busy = false;
  private waiting: (() => void) | null = null;
  private asked = 0;
  private shown = 0;

  constructor(
    readonly camera: string,
    readonly width: number,
  ) {}

  /** Address of the picture of a moment, or null. `grain` is how exact the moment has to be, in milliseconds. */
  at(time: number, grain: number, show: (address: string | null) => void): void {
    const turn = ++this.asked;
    const present = (address: string | null) => {
      if (turn < this.shown) return;
      this.shown = turn;
      show(address);
    };
    this.waiting = null;
    const rounded = Math.round(time / Math.max(1000, grain)) * Math.max(1000, grain);
    const key = String(rounded);
    const known = this.kept.get(key);
    if (known) return void known.then(present);
    const run = () => {
      this.busy = true;
      // What could not be had now may be had later.
      const picture = this.fetch(rounded).catch(() => {
        this.kept.delete(key);
        return null;
      });
      this.kept.set(key, picture);
      if (this.kept.size > KEPT) {
        const [oldest] = this.kept;
        if (oldest) {
          this.kept.delete(oldest[0]);
          void oldest[1].then((address) => address && URL.revokeObjectURL(address));
        }
      }
      void picture.then(present).finally(() => {
        this.busy = false;
        const next = this.waiting;
        this.waiting = null;
        next?.();
      });
    };
    if (this.busy) this.waiting = run;
    else run();
  }

  /** No picture is wanted any more: none that is still fetched is shown. */
  none(): void {
    this.shown = ++this.asked;
    this.waiting = null;
  }

  end(): void {
    const kept = [...this.kept.values()];
    this.kept.clear();
    this.waiting = null;
    // One of them may be about to be shown.
    setTimeout(() => {
      for (const picture of kept) void picture.then((address) => address && URL.revokeObjectURL(address));
    }, 5000);
  }

  private async fetch(time: number): Promise<string | null> {
    const answer = await request(`/cameras/${this.camera}/snapshot.jpg`, { query: { at: new Date(time).toISOString(), width: this.width }, headers: { accept: "image/jpeg" } });
    // The keyframe before may be from before a gap; then it is no picture of this moment.
    const taken = Date.parse(answer.headers.get("x-frame-time") ?? "");
    if (time - taken > 60_000) return null;
    return URL.createObjectURL(await answer.blob());
  }
}
