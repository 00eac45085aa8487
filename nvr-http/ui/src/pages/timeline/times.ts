/** Value of a datetime-local field, to the millisecond. */
export function toLocal(time: number): string {
  const date = new Date(Math.round(time));
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 23);
}

export const fromLocal = (text: string): number => new Date(text).getTime();
