import type { Speed } from "~/api/ptz";

/** How long one order to move holds, and after how long it is given anew (milliseconds). */
export const HOLD_MS = 1500;
export const AGAIN_MS = 600;

/** Moves while something is held: orders go out one after the other, the newest wish counts, and the last one is to stop. */
export class Hold {
  private wanted: Speed | null = null;
  private working = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private wake: (() => void) | null = null;

  constructor(
    private readonly order: (speed: Speed | null) => Promise<void>,
    private readonly fail: (e: unknown) => void,
  ) {}

  /** Moves from now on. */
  begin(speed: Speed): void {
    this.wanted = speed;
    this.hurry();
    void this.work();
  }

  /** Stops; nothing happens where nothing moves. */
  end(): void {
    this.wanted = null;
    this.hurry();
  }

  private hurry(): void {
    clearTimeout(this.timer);
    this.wake?.();
    this.wake = null;
  }

  private async work(): Promise<void> {
    if (this.working) return;
    this.working = true;
    try {
      while (this.wanted) {
        const speed = this.wanted;
        await this.order(speed);
        if (this.wanted === speed) {
          await new Promise<void>((done) => {
            this.wake = done;
            this.timer = setTimeout(done, AGAIN_MS);
          });
        }
      }
      await this.order(null);
    } catch (e) {
      this.wanted = null;
      this.fail(e);
      // Whatever failed, it must not go on moving.
      await this.order(null).catch(() => {});
    }
    this.working = false;
    // Pressed again while it was being stopped.
    if (this.wanted) void this.work();
  }
}
