/** Bounds of how much is kept ahead of what is shown, in seconds. */
const LEAST = 0.06;
const MOST = 1.5;
/** More than this too far behind is jumped over; less is caught up with. While it begins, it is less. */
const JUMP = 1;
const JUMP_FIRST = 0.25;
const BEGINNING = 1.5;
/** A jump has to be decoded from the keyframe before: a machine that is slow at that must not be made to jump again at once. */
const REST = 4;
/** Within this it is left as it is. */
const NEAR = 0.03;

/** How close to its newest frame a live video can be played: as close as frames come evenly. Pure; times in seconds. */
export class Cushion {
  private end: number | null = null;
  private at = 0;
  private began: number | null = null;
  /** Length of what comes at a time. */
  private step = 0;
  /** The least delay of arrival that there was, and how much later than that others came. */
  private quickest = Number.POSITIVE_INFINITY;
  private late = 0;
  /** What it ran dry by all the same. */
  private extra = 0;
  private jumped = Number.NEGATIVE_INFINITY;

  /** `fastest`: how fast it may play to catch up. */
  constructor(private readonly fastest: number) {}

  /** There is something up to `end` now. */
  grown(end: number, now: number): void {
    this.began ??= now;
    const passed = Math.max(0, now - this.at);
    if (this.end !== null && end > this.end) {
      const fade = Math.exp(-passed / 6);
      const delay = now - end;
      this.quickest = Math.min(this.quickest + passed * 0.002, delay);
      this.late = Math.max(this.late * fade, delay - this.quickest);
      this.extra *= Math.exp(-passed / 20);
      // What comes at once when it begins says nothing of how it goes on.
      if (passed > 0.005) this.step = Math.max(this.step * fade, Math.min(end - this.end, passed));
    }
    this.end = end;
    this.at = now;
  }

  /** It ran dry. */
  stalled(): void {
    this.extra = Math.min(0.5, this.extra + 0.08);
  }

  /** How far behind the end it should be just after something came. */
  get wanted(): number {
    return Math.min(MOST, Math.max(LEAST, this.step + this.late + this.extra + 0.02));
  }

  /** What to do so far behind: play at a rate, or jump to `wanted` before the end. */
  advice(behind: number, now: number): number | "jump" {
    const over = behind - this.wanted;
    const limit = this.began !== null && now - this.began < BEGINNING ? JUMP_FIRST : JUMP;
    if (over > limit && now - this.jumped > REST) {
      this.jumped = now;
      return "jump";
    }
    if (over < NEAR) return 1;
    return Math.min(this.fastest, 1 + Math.ceil(over * 20) / 20);
  }
}
